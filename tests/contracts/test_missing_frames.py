"""Missing frames, whatever their pixels, reach no number and no gradient: every model, every objective."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.objectives import ELBO, EnergyScore, EnumeratedELBO, LatentELBO, ScoreFunctionELBO
from seqvae.prediction import FramePrediction, PositionPrediction
from seqvae.sequence import SequenceModel
from seqvae.types import Encoding
from tests.models import FOLLOWING, MODELS, as_batch, class_of, make, video

F64 = torch.float64
FRAMES, CONTEXT = 7, 4
OBJECTIVES = {
    "temporal": ELBO(start=1),
    "later": ELBO(start=3),
    "frames": ELBO(beta=0.5, rollout=FramePrediction(context=CONTEXT)),
    "enumerated": EnumeratedELBO(),
    "score": ScoreFunctionELBO(),
    "latent": LatentELBO(rollout=PositionPrediction(context=CONTEXT)),
    "energy": EnergyScore(context=CONTEXT),
}
OF_EVIDENCE = ("latent", "energy")
COUNTING = [name for name in MODELS if class_of("dynamics", name) == "AIRPrior"]
CASES = [
    *((name, objective) for name in MODELS for objective in ("temporal", "later", "frames")),
    *((name, objective) for name in COUNTING for objective in ("enumerated", "score")),
    *((name, objective) for name in FOLLOWING for objective in OF_EVIDENCE),
]


def gaps() -> Tensor:
    """The first frame, the last before a rollout, and later ones."""
    observed = torch.ones(2, FRAMES, dtype=torch.bool)
    observed[0, [0, 5]] = observed[1, [3, 4]] = False
    return observed


def batch(model: SequenceModel, clip: Tensor, of_encoding: bool, hidden: float | None) -> SimpleNamespace:
    """A batch whose missing frames hold what they would have shown, or the number `hidden`."""
    observed = gaps()
    if not of_encoding:
        if hidden is not None:
            clip = clip.masked_fill(~observed[..., None, None, None], hidden)
        return as_batch(video=clip, observed=observed)
    with torch.no_grad():
        seen = model.frame.encode(clip)
    tensors = [seen.mean, seen.precision]
    if hidden is not None:
        tensors = [x.masked_fill(~observed[..., None, None], hidden) for x in tensors]
    return as_batch(encoding=Encoding(*tensors), observed=observed)


def outcome(model: SequenceModel, objective: Any, given: SimpleNamespace) -> tuple[Any, list[Tensor]]:
    """The terms, and the gradients of their total."""
    torch.manual_seed(3)
    model.zero_grad()
    terms, trace = objective(model, given, 0.5)
    terms.objective().mean().backward()
    assert trace.z.isfinite().all()
    return terms, [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(("name", "objective"), CASES)
def test_pixels_of_missing_frames_reach_neither_terms_nor_gradients(name, objective):
    model, clip = make(name, dtype=F64), video(frames=FRAMES, dtype=F64)
    of_encoding = objective in OF_EVIDENCE
    found = [
        outcome(model, OBJECTIVES[objective], batch(model, clip, of_encoding, hidden))
        for hidden in (None, torch.nan)
    ]
    (shown, gradients), (blind, blind_gradients) = found
    assert gradients and all(x.isfinite().all() for x in blind_gradients)
    for term, value in blind.values.items():
        assert value.isfinite().all(), term
        assert torch.equal(value, shown.values[term]), term
    assert blind.bound_per_frame().isfinite() or objective == "energy"
    assert len(gradients) == len(blind_gradients)
    assert_close(blind_gradients, gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_likelihoods_of_missing_frames_are_left_out_and_those_of_states_are_not(name):
    model, clip = make(name, dtype=F64), video(frames=FRAMES, dtype=F64)
    given = batch(model, clip, False, torch.nan)
    terms, _ = outcome(model, OBJECTIVES["temporal"], given)
    of_states = ("log_prior", "neg_log_posterior")
    for term, value in terms.values.items():
        missing, seen = value[~given.observed], value[given.observed]
        assert (seen != 0).any(), term  # the energy of boxes outside of a frame is 0
        if term in of_states:
            assert (missing != 0).all(), term
        else:
            assert (missing == 0).all() and torch.equal(terms.defined[term], given.observed), term
    assert terms.defined.keys() == terms.values.keys() - set(of_states)


@pytest.mark.parametrize("name", MODELS)
def test_frames_that_were_all_observed_change_nothing(name):
    model, clip = make(name), video(frames=FRAMES)
    whole = torch.ones(2, FRAMES, dtype=torch.bool)
    found = []
    for observed in (None, whole):
        torch.manual_seed(3)
        given = as_batch(video=clip, observed=observed)
        found.append(OBJECTIVES["frames"](model, given, 0.0)[0])
    assert all(torch.equal(found[0].values[term], value) for term, value in found[1].values.items())
    assert_close(found[0].bound_per_frame(), found[1].bound_per_frame())
