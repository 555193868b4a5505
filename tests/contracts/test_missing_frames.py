"""Missing frames, whatever their pixels, reach no number and no gradient: every model, every objective."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from seqvae.contracts.models import FRAMES, pixels_of_missing_frames_reach_neither_terms_nor_gradients
from seqvae.objectives import ELBO, EnergyScore, EnumeratedELBO, LatentELBO, ScoreFunctionELBO
from seqvae.prediction import FramePrediction, PositionPrediction
from tests.models import FOLLOWING, MODELS, as_batch, class_of, make, video

CONTEXT = 4
OBJECTIVES = {
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
    *((name, objective) for name in MODELS for objective in ("later", "frames")),
    *((name, objective) for name in COUNTING for objective in ("enumerated", "score")),
    *((name, objective) for name in FOLLOWING for objective in OF_EVIDENCE),
]


@pytest.mark.parametrize(("name", "objective"), CASES)
def test_pixels_of_missing_frames_reach_neither_terms_nor_gradients(name, objective):
    pixels_of_missing_frames_reach_neither_terms_nor_gradients(
        partial(make, name), OBJECTIVES[objective], of_encoding=objective in OF_EVIDENCE
    )


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
