"""The energy score against numbers by hand and in closed form, and the fitting of a spread."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.errors import UserError
from seqvae.matching import reorder
from seqvae.nn.layers import Spread
from seqvae.objectives import EnergyScore
from seqvae.prediction import energy_score
from seqvae.train.encodings import EncodingBatch, track_slots
from seqvae.train.learner import Learner
from seqvae.train.optim import Optim
from tests.models import config, make, video


def test_the_energy_score_of_three_samples_by_hand():
    samples = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]])[:, None, None, None]
    observed = torch.tensor([0.0, 1.0])[None, None, None]
    error = (1 + math.hypot(3, 3) + 1) / 3
    between = (5 + 2 + math.hypot(3, 2)) / 3
    assert_close(energy_score(samples, observed), torch.tensor([[error - between / 2]]), rtol=0, atol=1e-3)


def test_the_true_density_scores_best():
    # for X, y ~ N(0, std^2) in the plane E|X - y| = std sqrt(pi), and the score is half of it
    torch.manual_seed(0)
    observed = torch.randn(20_000, 1, 1, 2)
    scores = {}
    for std in (0.5, 0.8, 1.0, 1.25, 2.0):
        values = energy_score(std * torch.randn(8, 20_000, 1, 1, 2), observed)
        scores[std] = values.mean().item()
        if std == 1.0:
            error = values.std().item() / math.sqrt(20_000)
            assert abs(scores[1.0] - math.sqrt(math.pi) / 2) < 4 * error
    assert min(scores, key=scores.get) == 1.0


@pytest.fixture
def clips() -> tuple:
    model, clip = make("stove"), video(frames=12, batch=16)
    with torch.no_grad():
        return model, EncodingBatch(track_slots(model, model.frame.encode(clip)), None)


def test_the_order_of_the_encoding_does_not_matter(clips, monkeypatch):
    model, batch = clips
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # noise would fall on other objects
    cycle = torch.tensor([1, 2, 0]).expand(16, -1)
    turned = batch.encoding.map(
        lambda x: torch.stack([reorder(x[:, t], cycle) for t in range(x.shape[1])], 1)
    )
    scores = [
        EnergyScore()(model, EncodingBatch(encoding, None), 1.0)[0].values["energy_score"]
        for encoding in (batch.encoding, turned)
    ]
    assert_close(scores[0], scores[1], rtol=1e-3, atol=1e-5)
    assert scores[0].mean() < -0.05  # these weights predict badly, so a wrong order would show


def test_fitting_the_spread_keeps_the_rollout_of_means(clips):
    model, batch = clips
    clip = video(frames=12, batch=16)
    before = model.filter(clip, sample=False)
    path = model.imagine(before.carry, 4).z
    learner = Learner(model, EnergyScore(), Optim(lr=0.1, clip=None), parts=("spread",))
    spreads = [m for m in model.modules() if isinstance(m, Spread)]
    assert {id(p) for p in learner.parameters} == {id(m.log_factor) for m in spreads} and len(spreads) == 3
    assert "bound" not in learner.gradient(batch, 0.0).numbers  # no term is part of one

    def average() -> float:
        return torch.stack([learner.gradient(batch, 0.0).numbers["energy_score"] for _ in range(10)]).mean()

    first = average()
    for step in range(40):
        learner.gradient(batch, 0.0)
        learner.apply(step, 0.0)
    assert average() > first
    after = model.filter(clip, sample=False)
    assert torch.equal(before.z, after.z) and torch.equal(model.imagine(after.carry, 4).z, path)
    assert all((m.log_factor != 0).all() for m in spreads)
    # a missing frame still has the state that the dynamics expects
    missing = torch.zeros(16, 12, dtype=torch.bool)
    blind = model.filter(clip, observed=missing)
    expected = model.dynamics.predict(model.init(16, before.z[:, 0]).dynamics).proposal.std
    assert torch.equal(blind.posterior.std[:, 0], expected)
    # and no other stage trains it
    Learner(model, EnergyScore(), Optim(), parts=("posterior", "dynamics"))
    assert not any(m.log_factor.requires_grad for m in spreads)


def test_weights_from_before_there_was_a_spread_load():
    model = make("stove")
    state = {name: x for name, x in model.state_dict().items() if "spread" not in name}
    other = build(config("stove"), DataSpec(32, 32, 1, objects=3))
    other.dynamics.spread.log_factor.data.fill_(1.0)
    other.load_state_dict(state)
    assert all((m.log_factor == 0).all() for m in other.modules() if isinstance(m, Spread))
    assert "dynamics.spread.log_factor" not in state


def test_a_spread_scales_the_fields_that_it_names():
    layout = make("stove").layout
    spread = Spread(layout, ("position", "latent"))
    spread.log_factor.data = torch.tensor([2.0, 0.5]).log()
    std = spread(torch.ones(layout.dim))
    assert_close(std[layout["position"]], torch.full((2,), 2.0))
    assert_close(std[layout["latent"]], torch.full((12,), 0.5))
    assert_close(std[layout["velocity"]], torch.ones(2))


def test_impossible_combinations_are_refused(clips):
    _, batch = clips
    with pytest.raises(UserError, match="samples=1: expected 2 or more"):
        EnergyScore(samples=1)
    with pytest.raises(UserError, match="the model has none"):
        EnergyScore()(make("vae", slots=1), batch, 0.0)
    with pytest.raises(UserError, match="nothing to train there"):
        Learner(make("vae", slots=1), EnergyScore(), Optim(), parts=("spread",))
