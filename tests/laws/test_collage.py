"""Collages: what is cut out, where it is pasted, and what an encoder learns from them."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.build import build
from seqvae.collage import CollageLikelihood
from seqvae.errors import UserError
from seqvae.matching import assign, reorder, squared_distances
from seqvae.train.learner import Learner
from seqvae.train.optim import Cosine, Optim
from seqvae.types import DataSpec
from tests.models import as_batch, config, discs, make, video

PIXEL = 2 / 32
RADIUS = 0.17
HALF = torch.tensor([RADIUS, RADIUS])


def scattered(frames: int, least: float, slots: int = 3) -> Tensor:
    """Sample positions "n k 2" whose distances are at least `least`."""
    found = torch.empty(0, slots, 2)
    while len(found) < frames:
        position = 1.5 * torch.rand(20 * frames, slots, 2) - 0.75
        apart = squared_distances(position, position).sqrt() + 9 * torch.eye(slots)
        found = torch.cat([found, position[(apart > least).all((-1, -2))]])
    return found[:frames]


def cut(position: Tensor, guess: Tensor | None = None, **options):
    frames = discs(position)
    guess = position if guess is None else guess
    return CollageLikelihood(**options)._cut_out(frames, guess, HALF.expand_as(position))


def test_an_object_that_is_alone_is_where_its_mass_is():
    position = scattered(20, least=0.7)
    found = cut(position, position + 0.03 * torch.randn_like(position))
    assert (found.weight == 1).all()
    assert_close(found.position, position, atol=2e-3, rtol=0)  # a thirtieth of a pixel


@pytest.mark.parametrize(
    ("second", "expected"),
    [((0.6, 0.0), [1, 1]), ((0.45, 0.0), [0, 0]), ((0.34, 0.0), [0, 0]), ((0.9, 0.0), [1, 0])],
    ids=["apart", "close", "touching", "beyond the edge"],
)
def test_only_objects_that_are_alone_and_whole_are_cut_out(second, expected):
    found = cut(torch.tensor([[[0.0, 0.0], list(second)]]))
    assert found.weight.tolist() == [expected]


def test_nothing_is_cut_out_of_an_empty_frame():
    position = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]])
    empty = torch.zeros(1, 1, 32, 32)
    assert CollageLikelihood()._cut_out(empty, position, HALF.expand_as(position)).weight.tolist() == [[0, 0]]


def test_a_collage_shows_its_objects_where_it_says_they_are():
    """Every collage is the drawing of discs at its positions: objects move by whole pixels, so exactly."""
    torch.manual_seed(1)
    position = scattered(16, least=0.7)
    objective = CollageLikelihood(jitter=0.0)
    found = objective._cut_out(discs(position), position, HALF.expand_as(position))
    exact = SimpleNamespace(**vars(found) | {"position": position})
    collage = objective._compose(exact, position, torch.zeros(1, 32, 32), (len(position), 1))
    assert (collage.weight == 1).all()
    apart = squared_distances(collage.position, collage.position).sqrt() + 9 * torch.eye(3)
    clear = (apart > 2 * RADIUS + 2 * PIXEL).all((-1, -2))
    assert clear.sum() > 4
    assert_close(collage.frames[clear], discs(collage.position)[clear], atol=1e-5, rtol=0)


def test_objects_keep_their_colours_on_any_background_and_later_ones_hide_earlier_ones():
    background = torch.linspace(0.1, 0.4, 3 * 32 * 32).reshape(3, 32, 32)
    position = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]])
    alpha = torch.stack([discs(position[:, i : i + 1]) for i in range(2)], 1)  # n k 1 h w
    colours = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.7, 0.9]])[:, :, None, None]
    drawn = background
    for i in range(2):
        drawn = drawn + alpha[0, i] * (colours[i] - background)
    objective = CollageLikelihood(jitter=0.0)
    found = objective._cut_out(drawn[None] - background, position, HALF.expand_as(position))
    touching = torch.tensor([[[0.0, 0.0], [0.25, 0.0]]])
    torch.manual_seed(0)
    collage = objective._compose(found, touching, background, (len(touching), 1))
    inner = (collage.position[0] + 1) / PIXEL - 0.5  # pixels x, y of the two centres
    chosen = (collage.frames[0, :, *inner[1].round().long().flip(0)] - colours[..., 0, 0]).abs().sum(-1)
    assert chosen.min() < 0.02  # the later object shows its own colour in its middle
    beyond = (squared_distances(collage.position, _grid()).sqrt() > RADIUS + 2 * PIXEL).all(1)[0]
    assert_close(collage.frames[0].flatten(1)[:, beyond], background.flatten(1)[:, beyond])


def _grid() -> Tensor:
    at = (2 * torch.arange(32) + 1) / 32 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)[None]


def test_the_gradient_reaches_the_encoder_alone():
    model = make("stove")
    objective = CollageLikelihood()
    objective.begin(model)
    terms, _ = objective(model, as_batch(video=video(batch=12)), 0.0)
    terms.objective().mean().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached and all(name.startswith("frame.encoder.") for name in reached)


def test_the_term_is_the_log_density_of_what_the_collages_show(monkeypatch):
    model, seen = make("stove"), {}
    objective = CollageLikelihood()
    compose = objective._compose
    monkeypatch.setattr(objective, "_compose", lambda *args: seen.setdefault("collage", compose(*args)))
    terms, _ = objective(model, as_batch(video=video(batch=12)), 0.0)
    collage = seen["collage"]
    said = model.frame.encode(collage.frames[:, None]).at(0)
    where, size = model.layout["position"], model.layout["size"]
    said = said.map(lambda x: reorder(x, assign(squared_distances(collage.position, said.mean[..., where]))))
    total = torch.zeros_like(collage.weight)
    for field, true in ((where, collage.position), (size, collage.size)):
        normal = torch.distributions.Normal(said.mean[..., field], said.precision[..., field].rsqrt())
        total += normal.log_prob(true).sum(-1)
    assert_close(terms.values["collage"].flatten(), (collage.weight * total).sum(-1))
    assert terms.weights == {"collage": 1.0} and not terms.bounded


def test_sizes_are_those_of_the_encoder_at_the_beginning_of_the_stage():
    model, batch = make("stove"), as_batch(video=video(batch=12))
    objective = CollageLikelihood()
    objective.begin(model)
    copied, other = copy.deepcopy(objective), CollageLikelihood()
    with torch.no_grad():
        for parameter in model.frame.encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    other.begin(model)

    def term(objective: CollageLikelihood) -> Tensor:
        torch.manual_seed(5)
        return objective(model, batch, 0.0)[0].values["collage"]

    before = term(objective)
    assert not torch.equal(term(other), before)
    other.restore(objective.state())
    assert torch.equal(term(other), before) and torch.equal(term(copied), before)


def test_an_encoder_learns_where_touching_objects_are():
    """From frames in which some objects are alone, without any true position."""
    torch.manual_seed(0)
    model, shown = make("stove", seed=3), discs(scattered(600, least=2.05 * RADIUS), radius=RADIUS)
    learner = Learner(model, CollageLikelihood(), Optim(lr=2e-3, schedule=Cosine(0.0, 20)), parts=("frame",))
    close = scattered(200, least=2.05 * RADIUS)
    apart = squared_distances(close, close).sqrt() + 9 * torch.eye(3)
    near = (apart < 2.6 * RADIUS).any(-1)

    def errors() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            encoding = model.frame.encode(discs(close)[:, None]).at(0)
        where = model.layout["position"]
        order = assign(squared_distances(close, encoding.mean[..., where]))
        encoding = encoding.map(lambda x: reorder(x, order))
        return (encoding.mean[..., where] - close)[near], encoding.precision[..., where][near].rsqrt()

    start = errors()[0].square().mean().sqrt()
    for step in range(250):
        batch = SimpleNamespace(video=shown[torch.randint(len(shown), (64,)), None], prev_actions=None)
        learner.gradient(batch, step / 250)
        learner.apply(step, step / 250)
    error, std = errors()
    assert error.square().mean().sqrt() < start / 3
    assert 0.3 < (error / std).square().mean().sqrt() < 3


def test_a_model_that_follows_actions_learns_the_same_places():
    """A collage is of no time: the actions of its batch change nothing in its term."""
    torch.manual_seed(0)
    frames = discs(scattered(8, least=0.5))[:, None]
    model = build(config("stove"), DataSpec(32, 32, 1, actions=9, objects=3))
    values = []
    for actions in (torch.zeros(8, 1, dtype=torch.int64), torch.arange(8)[:, None]):
        torch.manual_seed(1)
        batch = SimpleNamespace(video=frames, prev_actions=actions)
        values.append(CollageLikelihood()(model, batch, 0.0)[0].values["collage"])
    assert torch.equal(*values) and values[0].shape == (8, 1) and values[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vae", "CollageLikelihood needs position and size in the state"),
        ("monet_sequence", "takes every slot for an object, and here some are none"),
        ("air", "takes every slot for an object, and here some are none"),
    ],
)
def test_models_without_places_or_with_absent_slots_are_refused(name, words):
    with pytest.raises(UserError, match=words):
        CollageLikelihood()(make(name), as_batch(video=video(batch=4)), 0.0)


@pytest.mark.parametrize("option", [{"reach": 0.9}, {"margin": 0.5}, {"jitter": -0.1}])
def test_options_that_cannot_be_are_refused(option):
    (name,) = option
    with pytest.raises(UserError, match=f"objective.{name}="):
        CollageLikelihood(**option)


def test_objects_of_a_collage_are_those_of_one_frame_on_request():
    """Each frame has its own brightness, and a collage then has one, wherever all of a frame are alone."""
    torch.manual_seed(0)
    position = scattered(16, least=0.7)
    light = torch.linspace(0.2, 0.9, 16)[:, None, None, None]
    for together in (True, False):
        objective = CollageLikelihood(together=together)
        found = objective._cut_out(light * discs(position), position, HALF.expand_as(position))
        collage = objective._compose(found, position, torch.zeros(1, 32, 32), (len(position), 1))
        frame, slot = collage.cutting // 3, collage.cutting % 3
        one = (frame == frame[:, :1]).all(1)
        assert one.all() if together else not one.any()
        if together:
            assert torch.equal(slot.sort(-1).values, torch.arange(3).expand(16, 3))  # each object once
            assert len({tuple(row) for row in slot.tolist()}) > 1  # in any order
            assert_close(collage.frames.amax((1, 2, 3)), light.flatten()[frame[:, 0]], atol=1e-5, rtol=0)
