"""C code against its definition in torch: rollouts of GraphDynamics with their gradient, frames of SuPAIR."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.distributions import Normal
from seqvae.dynamics import native
from seqvae.dynamics.graph import GraphDynamics
from seqvae.layout import StateLayout
from seqvae.nn import native as nn_native
from seqvae.nn.boxes import PursuitEncoder
from seqvae.nn.glimpse import read
from seqvae.nn.native import library
from seqvae.nn.spn import mix
from seqvae.sequence import SequenceModel
from seqvae.tree import sum_tensors
from seqvae.types import Carry, LastState
from tests.laws.common import MOVING, POSITION, SIZE, perturbed
from tests.models import make

pytestmark = pytest.mark.skipif(library(native.SOURCE) is None, reason="needs a C compiler")

STILL = StateLayout((SIZE, POSITION))
BATCH, FRAMES = 70, 3  # more sequences than a block has, and no multiple of it
OPTIONS = {
    "as shipped": (MOVING, 3, {}),
    "actions": (MOVING, 3, {"actions": 4}),
    "no latents": (MOVING, 3, {"latent": 0}),
    "no velocity": (STILL, 3, {}),
    "no velocity, no latents": (STILL, 2, {"latent": 0}),
    "no impact": (MOVING, 4, {"impact": False}),
    "one slot": (MOVING, 1, {"actions": 2}),
    "ten slots": (MOVING, 10, {"velocity_scale": 0.1}),
    "narrow": (MOVING, 2, {"width": 20, "latent": 3}),
    "wide, many latents": (MOVING, 3, {"width": 96, "latent": 70}),
}
every_option = pytest.mark.parametrize("option", OPTIONS)


def dynamics(option: str) -> GraphDynamics:
    layout, slots, options = OPTIONS[option]
    torch.manual_seed(0)
    return perturbed(GraphDynamics(layout, slots, **options), 0.1)


def start(part: GraphDynamics) -> tuple[Tensor, Tensor | None]:
    """Return states and actions."""
    z = 0.5 * torch.randn(BATCH, part.slots, part.layout.dim)
    return z, None if part.action is None else torch.randint(part.action.num_embeddings, (BATCH, FRAMES))


def step_by_step(part: GraphDynamics, z: Tensor, actions: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the means of a rollout by the definition, and the share of the last step."""
    states, share = [], z
    for t in range(FRAMES):
        z, share = part.step(z, None if actions is None else actions[:, t])
        states.append(z)
    return torch.stack(states, 1), share


def gradients(part: GraphDynamics, z: Tensor, out: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Return the gradients of a random function of the results, for the states and every used weight."""
    torch.manual_seed(1)
    value = sum_tensors((x * torch.randn(x.shape).to(x)).sum() for x in out)
    weights = [p for p in part.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, [z, *weights], allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, [z, *weights], strict=True)]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().amax() / b.abs().amax().clamp_min(1e-6)) if b.numel() else 0.0


@every_option
def test_states_and_gradients_are_those_of_the_definition(option):
    part = dynamics(option)
    exact = copy.deepcopy(part).double()
    z, actions = start(part)
    z64 = z.double().requires_grad_()
    z.requires_grad_()
    truth = step_by_step(exact, z64, actions)
    given = part._native(z, actions)
    assert given is not None and exact._native(z64, actions) is None
    mean, states, share = native.roll_out(*given, z, actions, FRAMES)
    assert mean is states
    for found, expected in zip((mean, share), truth, strict=True):
        assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    found, expected = gradients(part, z, (mean, share)), gradients(exact, z64, truth)
    # sums of float32 over all sequences, frames and pairs, of terms with both signs
    assert max(relative(a.double(), b) for a, b in zip(found, expected, strict=True)) < 5e-5


@every_option
def test_one_call_and_many_are_equal_to_the_bit(option):
    part = dynamics(option)
    z, actions = start(part)
    given = part._native(z, actions)
    assert given is not None
    rolled = native.roll_out(*given, z, actions, FRAMES)
    one_by_one = step_by_step(part, z, actions)
    assert torch.equal(rolled[0], one_by_one[0]) and torch.equal(rolled[2], one_by_one[1])
    few = native.roll_out(*given, z[:5], None if actions is None else actions[:5], FRAMES)[0]
    assert torch.equal(few, rolled[0][:5])  # whatever other sequences are there


def stove() -> tuple[SequenceModel, Carry]:
    model = make("stove")
    z = 0.5 * torch.randn(4, 3, model.layout.dim)
    return model, Carry(LastState(z, torch.zeros_like(z)), model.posterior.init(4, z))


@pytest.mark.parametrize("sample", [False, True, torch.tensor([True, False, True, False])])
@torch.no_grad()
def test_imagining_at_once_and_frame_by_frame_draw_the_same_states(sample, monkeypatch):
    model, carry = stove()
    torch.manual_seed(0)
    at_once = model.imagine(carry, 6, sample=sample)
    monkeypatch.setattr(GraphDynamics, "imagine", lambda *_: None)
    torch.manual_seed(0)
    by_frame = model.imagine(carry, 6, sample=sample)
    assert_close(at_once.z, by_frame.z)
    found, expected = at_once.prior, by_frame.prior
    assert isinstance(found, Normal) and isinstance(expected, Normal)
    assert_close(found.mean, expected.mean)
    assert_close(found.std, expected.std)
    assert_close(at_once.carry.dynamics.z, by_frame.carry.dynamics.z)
    assert at_once.carry.posterior.precision.equal(by_frame.carry.posterior.precision)


def test_draws_keep_their_gradient():
    model, carry = stove()
    assert isinstance(model.dynamics, GraphDynamics)
    factors = model.dynamics.spread.log_factor.requires_grad_()
    model.imagine(carry, 2, sample=True).z.sum().backward()
    assert factors.grad is not None and factors.grad.abs().min() > 0


def test_states_that_are_not_finite_stay_so():
    part = dynamics("as shipped")
    z, _ = start(part)
    z[0, 0, part.layout["velocity"]] = torch.nan
    mean = part.step(z)[0]
    assert mean[0].isnan().any(-1).all() and mean[1:].isfinite().all()


def test_an_unknown_action_is_refused():
    part = dynamics("actions")
    z, _ = start(part)
    with pytest.raises(IndexError):
        part.step(z, torch.full((BATCH,), 4))


def test_torch_takes_its_place_where_it_cannot_run(monkeypatch):
    part = dynamics("as shipped")
    z, _ = start(part)
    by_c = part.step(z)[0]
    monkeypatch.setattr(nn_native, "library", lambda source: None)
    assert part._native(z, None) is None
    by_torch = part.step(z)[0]
    assert_close(by_c, by_torch)


@pytest.mark.parametrize("model", ["stove", "stove_paper"])
@pytest.mark.parametrize("height, width", [(32, 32), (20, 50)])
def test_frames_are_those_of_the_definition(model, height, width):
    frame = perturbed(make(model, slots=4, height=height, width=width, channels=3).frame, 0.3)
    z = torch.randn(50, 2, 4, frame.layout.dim)  # boxes of all sizes, over each other and beyond the edges
    with torch.no_grad():
        by_c = frame.decode(z).frames
    with torch.enable_grad():
        by_torch = frame.decode(z).frames
    assert by_c.shape == by_torch.shape and by_torch.grad_fn is not None and by_c.std() > 0.01
    # a share of a pixel at just a half is above it or not, by rounding
    apart = (by_c - by_torch).abs()
    assert (apart > 1e-4).float().mean() < 1e-4, apart.max()


@torch.no_grad()
def test_frames_of_states_that_are_not_finite_are_frames():
    frame = make("stove").frame
    z = torch.full((1, 2, 3, frame.layout.dim), torch.nan)
    z[:, 1] = torch.inf
    frames = frame.decode(z).frames
    assert frames.isfinite().all() and frames.min() >= 0 and frames.max() <= 1


@pytest.mark.parametrize("height, width", [(32, 32), (21, 50)])
@torch.no_grad()
def test_proposals_and_views_are_those_of_the_definition(height, width, monkeypatch):
    encoder = PursuitEncoder(height, width, 3)
    # smooth images: of equal peaks of white noise, rounding would choose another one
    coarse = torch.rand(60, 1, 5, 5)
    image = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[:, 0].abs()
    places = 2.4 * torch.rand(60, 3, 2) - 1.2  # also beyond the edges
    by_c = encoder.propose(image), encoder.look(image, places)
    monkeypatch.setattr(nn_native, "library", lambda source: None)
    by_torch = encoder.propose(image), encoder.look(image, places)
    assert_close(by_c[0], by_torch[0], rtol=0, atol=1e-4)
    assert_close(by_c[1], by_torch[1], rtol=0, atol=2e-5)
    assert encoder.propose(torch.zeros_like(image)).isfinite().all()


@pytest.mark.parametrize(
    "shape, mixtures, vectors", [((2, 4, 10), 10, 130), ((3, 2, 6), 1, 64), ((1, 2, 1), 2, 3)]
)
def test_the_sum_layer_is_that_of_the_definition(shape, mixtures, vectors, monkeypatch):
    replicas, regions, components = shape
    level = (30 * torch.randn(*shape, vectors)).requires_grad_()
    logits = (3 * torch.randn(replicas, regions // 2, mixtures, components, components)).requires_grad_()
    grad = torch.randn(replicas, regions // 2, mixtures, vectors)
    by_c = mix(level, logits)
    of_c = torch.autograd.grad(by_c, (level, logits), grad)
    monkeypatch.setattr(nn_native, "library", lambda source: None)
    by_torch = mix(level, logits)
    of_torch = torch.autograd.grad(by_torch, (level, logits), grad)
    assert_close(by_c, by_torch)
    for found, expected in zip(of_c, of_torch, strict=True):
        assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_sum_that_underflows_is_left_to_the_definition():
    level = torch.zeros(1, 2, 2, 5)
    level[:, :, 1, 2] = -80
    logits = torch.tensor([[-200.0, -200.0], [-200.0, 0.0]]).expand(1, 1, 1, 2, 2)
    assert_close(mix(level, logits)[0, 0, 0], torch.tensor([0.0, 0.0, -160.0, 0.0, 0.0]))


@pytest.mark.parametrize("channels, height, width, n", [(1, 32, 32, 10), (3, 20, 50, 7), (1, 1, 3, 1)])
def test_glimpses_are_those_of_the_definition(channels, height, width, n, monkeypatch):
    image = torch.rand(20, channels, height, width)
    centre = (2.6 * torch.rand(20, 3, 2) - 1.3).requires_grad_()  # also beyond the edges
    extent = (0.02 + torch.rand(20, 3, 2)).requires_grad_()
    with torch.no_grad():
        centre[0], extent[0] = 0.0, 1.0  # samples on centres of pixels, where the slope jumps
    grad = torch.randn(20, 3, channels, n, n)
    by_c = read(image, centre, extent, n)
    of_c = torch.autograd.grad(by_c, (centre, extent), grad)
    monkeypatch.setattr(nn_native, "library", lambda source: None)
    by_torch = read(image, centre, extent, n)
    of_torch = torch.autograd.grad(by_torch, (centre, extent), grad)
    assert_close(by_c, by_torch, rtol=1e-4, atol=2e-5)
    for found, expected in zip(of_c, of_torch, strict=True):
        # within rounding of a pixel's centre a sample may have the slope of either side
        apart = (found - expected).abs() > 1e-3 * (1 + expected.abs())
        assert apart.float().mean() < 0.02, (found - expected).abs().max()


def test_threads_share_a_batch(monkeypatch):
    part = dynamics("actions")
    z, actions = start(part)
    z.requires_grad_()
    given = part._native(z, actions)
    assert given is not None
    image, where = torch.rand(300, 1, 32, 32), 0.8 * torch.rand(300, 3, 2)
    level, logits = torch.randn(2, 4, 3, 1100), torch.randn(2, 2, 4, 3, 3)
    frame = make("stove").frame
    states = torch.rand(150, 2, 3, frame.layout.dim)

    def results(threads: int) -> tuple[list[Tensor], list[Tensor]]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        mean, _, share = native.roll_out(*given, z, actions, FRAMES)
        views = read(image, where, 0.3 * torch.ones_like(where), 10)
        with torch.no_grad():
            drawn = frame.decode(states).frames
            found = frame.encoder.propose(image[:, 0])
            seen = frame.encoder.look(image[:, 0], where)
        return [mean, share, views, mix(level, logits), drawn, found, seen], gradients(part, z, (mean, share))

    monkeypatch.setattr(native, "STEPS", 32)
    (alone, of_one), (shared, of_three) = results(1), results(3)
    assert all(map(torch.equal, alone, shared))
    assert max(map(relative, of_one, of_three)) < 5e-5  # those of weights are sums over parts
