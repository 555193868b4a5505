"""What every objective of configs/objective does, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.cli.configs import compose
from seqvae.config import instantiate
from seqvae.contracts.objectives import OBJECTIVE_CHECKS
from seqvae.objectives import Objective
from tests.models import make

SHIPPED = sorted(path.stem for path in (Path(__file__).parents[2] / "configs/objective").glob("*.yaml"))
MODELS = {"frame_elbo": "vae", "enumerated_elbo": "air", "score_function_elbo": "air_paper"}  # others: stove
CHANGES = {  # what may be given beside what a yaml says
    "frame_elbo, rollout": (
        "frame_elbo",
        {"rollout": {"_target_": "seqvae.prediction.FramePrediction", "context": 3}},
    ),
    "latent_elbo, no rollout": ("latent_elbo", {"rollout": None}),
    "latent_elbo": (
        "latent_elbo",
        {"rollout": {"_target_": "seqvae.prediction.PositionPrediction", "context": 3}},
    ),
}


@pytest.mark.parametrize("name", sorted({*SHIPPED, *CHANGES}))
@pytest.mark.parametrize("check", OBJECTIVE_CHECKS)
def test_every_objective_keeps_the_contract(name, check):
    shipped, changes = CHANGES.get(name, (name, {}))
    config = compose("train", [f"objective={shipped}"])["objective"] | changes
    objective = instantiate(config, "objective", Objective)
    OBJECTIVE_CHECKS[check](objective, make(MODELS.get(shipped, "stove")))
