"""MONet: masks that sum to one, a bound with decoded masks, and slots that find objects."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.data.conversion import to_frames
from seqvae.elbo import elbo, iwae
from seqvae.errors import UserError
from seqvae.interventions import drop, move
from seqvae.matching import assign, track
from seqvae.metrics import foreground_ari
from seqvae.nn.glimpse import pixel_centres
from seqvae.nn.masks import RecurrentAttention, SeedAttention
from seqvae.objectives import ELBO
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.train.diagnostics import BatchStatistics, SlotStatistics, slot_statistics, warnings
from seqvae.train.encodings import encode_true_states
from tests.evaluate import spelled
from tests.laws.common import F64, as_batch, perturbed
from tests.models import config, make, video

MONETS = ["monet", "monet_paper", "monet_sequence"]
ATTENTIONS = [RecurrentAttention, SeedAttention]


def monet(name: str, objects: int = 2, size: int = 16, **frame) -> SequenceModel:
    chosen = copy.deepcopy(config(name))
    chosen["frame"] |= frame
    return build(chosen, DataSpec(size, size, 3, objects=objects))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("objects", [1, 4])
def test_masks_of_the_attention_sum_to_one(attention, objects):
    network = perturbed(attention(channels=3, objects=objects).double(), 0.3)
    log_masks = network(torch.rand(5, 3, 20, 12, dtype=F64))
    assert log_masks.shape == (5, objects + 1, 20, 12) and log_masks.isfinite().all()
    assert_close(log_masks.logsumexp(1), torch.zeros(5, 20, 12, dtype=F64))


@pytest.mark.parametrize("name", MONETS)
def test_decoded_masks_sum_to_one(name):
    model, clip = make(name), video()
    masks = model.decode(model.filter(clip, sample=True)).masks
    assert_close(masks.sum(2), torch.ones_like(masks[:, :, 0]))


@pytest.mark.parametrize("name", MONETS)
def test_the_bound_with_decoded_masks_lies_below_the_importance_weighted_one(name):
    model = monet(name, size=8, masks="decoder")
    clip = video(batch=4, frames=2, height=8, width=8, channels=3)
    with torch.no_grad():
        encoding = model.frame.encode(clip)
        draws = torch.stack(
            [elbo(model, clip, model.infer(encoding, sample=True)).bound().sum(1) for _ in range(80)]
        )
    one, many = draws[:40].mean(0), iwae(draws[40:])
    error = draws[:40].std(0) / 40**0.5
    assert not model.frame.unnormalised and (one < many + 4 * error).all() and (one < many).any()


def test_masks_of_the_encoder_make_no_bound():
    model, clip = monet("monet"), video(height=16, width=16, channels=3)
    terms = elbo(model, clip, model.filter(clip, sample=True))
    assert model.frame.unnormalised == {"log_likelihood"}
    assert terms.weights == {"decoder_masks": 0.5, "attention_masks": 0.5}
    bound = {"log_likelihood", "log_prior", "neg_log_posterior"}
    assert_close(terms.bound(), sum(terms.values[name] for name in bound))


@pytest.mark.parametrize("name", MONETS)
def test_each_term_of_the_masks_trains_its_own_side(name):
    model, clip = make(name), video()
    reached = {}
    for term in ("decoder_masks", "attention_masks"):
        model.zero_grad()
        trace = model.filter(clip, sample=True)
        model.frame.terms(clip, trace.z.detach(), trace.encoding, None)[term].mean().backward()
        reached[term] = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached["attention_masks"] == {
        n for n, _ in model.named_parameters() if n.startswith("frame.attention")
    }
    assert reached["decoder_masks"] and all("frame.component" in n for n in reached["decoder_masks"])


def test_an_imagined_frame_has_the_masks_of_the_decoder_only():
    model, clip = monet("monet"), video(height=16, width=16, channels=3)
    trace = model.filter(clip, sample=True)
    terms = model.frame.terms(clip, trace.z, None, None)
    decoder = monet("monet", masks="decoder")
    decoder.load_state_dict(model.state_dict())
    expected = decoder.frame.terms(clip, trace.z, trace.encoding, None)["log_likelihood"]
    assert terms.keys() == {"log_likelihood"}
    assert_close(terms["log_likelihood"], expected)


def test_the_background_keeps_its_place():
    model, clip = make("monet_sequence", slots=3), video(frames=6)
    encoding = model.frame.encode(clip)
    trace = model.infer(encoding, sample=False)
    assert torch.equal(trace.encoding.features["log_masks"][:, :, 0], encoding.features["log_masks"][:, :, 0])
    cost = torch.rand(20, 4, 4)
    order = assign(cost, kept=1)
    assert (order[:, 0] == 0).all() and torch.equal(order[:, 1:] - 1, assign(cost[:, 1:, 1:]))
    assert (track(torch.rand(5, 7, 4, 2), kept=1)[:, :, 0] == 0).all()
    with pytest.raises(UserError, match="background"):
        drop(model, trace, 0)


def test_without_objects_the_background_is_left():
    model, clip = make("monet_sequence", slots=2, channels=3), video(channels=3)
    trace = drop(model, model.filter(clip, sample=True), 1, 2)
    scene = model.decode(trace)
    assert_close(scene.masks, torch.ones_like(scene.masks))
    assert scene.masks.shape[2] == 1 and scene.frames.min() > 0.2  # its colour, near the middle at first
    with pytest.raises(UserError, match="move: slot 0 is the background"):
        move(model, trace, 0, (0.1, 0.0))


def test_scores_leave_the_background_out():
    model, clip = make("monet_sequence", slots=2, channels=3), video(slots=2, frames=6, channels=3)
    rollout = roll_out(model, to_frames(clip).numpy(), context=4, horizon=2)
    for x in (rollout.positions, rollout.velocities, rollout.extents):
        assert np.isnan(x[:, :, 0]).all() and np.isfinite(x[:, :, 1:]).all()
    terms, trace = ELBO()(model, as_batch(video=clip), 0.0)
    numbers = slot_statistics(trace, terms, model.layout, background=model.background_slots).as_dict()
    assert {"spread_1", "spread_2", "mass_0"} <= numbers.keys() and "spread_0" not in numbers


def test_true_states_need_a_slot_per_object():
    data = spelled.sequences(*spelled.straight(np.random.default_rng(0)), radii=np.full((3, 20, 2), 0.2))
    with pytest.raises(UserError, match="has 2 objects, the model 3 slots"):
        encode_true_states(make("monet_sequence", slots=2), data)


def test_an_embedding_holds_a_place():
    with pytest.raises(UserError, match="embedding=1: at least 2"):
        SeedAttention(channels=3, objects=2, embedding=1)


def test_a_posterior_that_would_move_the_background_is_refused():
    chosen = copy.deepcopy(config("monet_sequence"))
    chosen["posterior"]["background_slots"] = 0
    with pytest.raises(UserError, match="give background_slots: 1"):
        build(chosen, DataSpec(16, 16, 3, objects=2))


def test_the_place_of_a_mask_is_its_centre_and_an_empty_one_is_nowhere():
    component = monet("monet").frame.component
    masks = torch.full((1, 2, 16, 16), 1e-9)
    masks[0, 0, 2:6, 9:13] = 1  # rows 2-5, columns 9-12: centre at (11, 4) of 16, edges of 4 pixels
    size, position, mass = component.moments(masks)
    assert_close(position[0, 0], torch.tensor([11 / 8 - 1, 4 / 8 - 1]), atol=1e-3, rtol=0)
    expected = torch.full((2,), 2 * 1.25**0.5 / 8)  # the variance of 4 pixels in a row is (4^2 - 1) / 12
    assert_close(size[0, 0], expected, atol=1e-3, rtol=0)
    mean, precision = component.encode(torch.rand(1, 3, 16, 16), masks.log())
    std = precision.rsqrt()
    where = component.layout["position"]
    assert_close(mean[0, 0, where], position[0, 0])
    assert (std[0, 0, where] < 0.05).all() and (std[0, 1, where] > 0.4).all()


def test_a_slot_without_a_place_has_no_velocity():
    with pytest.raises(UserError, match="velocity=true: WholeComponent has no place"):
        monet("monet_paper", velocity=True)


def test_a_factor_on_an_unknown_term_is_refused():
    objective, clip = ELBO(factors={"masks": lambda *_: 1.0}), as_batch(video=video())
    with pytest.raises(UserError, match="objective.factors.masks: .*decoder_masks, attention_masks"):
        objective(make("monet"), clip, 0.0)
    with pytest.raises(UserError, match="it has none"):
        objective(make("vae"), clip, 0.0)


def test_factors_scale_the_terms_beside_the_bound():
    model, clip = make("monet"), as_batch(video=video())
    terms, _ = ELBO(factors={"attention_masks": lambda step, progress: progress})(model, clip, 0.25)
    assert terms.weights == {"decoder_masks": 0.5, "attention_masks": 0.125}


def test_a_slot_that_takes_everything_is_reported():
    model, clip = make("monet"), video()
    terms, trace = ELBO()(model, as_batch(video=clip), 0.0)
    numbers = slot_statistics(trace, terms, model.layout).as_dict()
    assert sum(numbers[f"mass_{k}"] for k in range(4)) == pytest.approx(1, abs=1e-5)
    mean = sum(numbers[f"kl_{k}"] for k in range(4))
    closed = trace.posterior.kl(trace.prior).mean().item()
    assert mean == pytest.approx(closed, rel=1e-4)
    slots = (SlotStatistics(0, mass=0.01), SlotStatistics(2, mass=0.97))
    (warning,) = warnings(BatchStatistics(slots)).values()
    assert "slot 2: takes 97%" in warning


def squares(n: int, objects: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Draw frames "n 1 3 h w" with squares, each within a quarter of its own, and masks "n h w"."""
    axis = pixel_centres(size, torch.empty(0))
    quarter = torch.stack([torch.randperm(4)[:objects] for _ in range(n)])
    middle = 0.5 * torch.stack([2 * (quarter % 2) - 1, 2 * (quarter // 2) - 1], -1)
    x, y = (middle + 0.3 * torch.rand(n, objects, 2) - 0.15).unbind(-1)
    inside = (axis - x[..., None]).abs()[..., None, :].maximum((axis - y[..., None]).abs()[..., None])
    shown = (inside < 0.28).float()  # n k h w
    colour = torch.eye(3)[torch.randint(3, (n, objects))]
    frames = 0.2 + (shown[:, :, None] * (colour - 0.2)[..., None, None]).sum(1)
    masks = (shown * torch.arange(1, objects + 1)[:, None, None]).sum(1).int()
    return frames[:, None], masks


@pytest.mark.slow
def test_slots_find_objects_and_spare_ones_stay_empty():
    """Frames with two squares, whose colours may be the same, and four slots for objects."""
    model = monet("monet", objects=4, decoder_masks=2.0, attention_masks=1.0)
    objective, steps = ELBO(beta=0.5), 400
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(steps):
        optimiser.zero_grad()
        terms, _ = objective(model, as_batch(video=squares(32, 2)[0]), step / steps)
        (-terms.objective().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 200)
        optimiser.step()
    frames, truth = squares(100, 2)
    with torch.no_grad():
        trace = model.filter(frames, sample=False)
        decoded = model.decode(trace).masks[:, 0]
    attention = trace.encoding.features["log_masks"][:, 0].exp()
    for masks in (attention, decoded):
        scores = [foreground_ari(t.numpy(), m.argmax(0).numpy()) for t, m in zip(truth, masks, strict=True)]
        assert sum(scores) / len(scores) > 0.9
        mass = masks[:, 1:].sum((-2, -1)).sort(-1, descending=True).values  # pixels, largest first
        assert (mass[:, 1] > 8).float().mean() > 0.95  # a square has 16 to 25
        assert mass[:, 2:].sum(-1).mean() < 2
