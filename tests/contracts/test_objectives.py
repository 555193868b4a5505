"""What every objective of configs/objective does, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data_gen.cli.configs import compose
from seqvae.config import instantiate
from seqvae.objectives import Objective
from tests.models import as_batch, make, video

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
def test_the_states_of_an_objective_are_drawn(name):
    """Its terms are those of a sample of the posterior: with point estimates the entropy would be gone."""
    shipped, changes = CHANGES.get(name, (name, {}))
    config = compose("train", [f"objective={shipped}"])["objective"] | changes
    objective, model = instantiate(config, "objective", Objective), make(MODELS.get(shipped, "stove"))
    clip = video(frames=6)
    batch = as_batch(video=clip, encoding=model.frame.encode(clip))
    (terms, trace), (others, _) = (objective(model, batch, 0.5) for _ in range(2))
    points = trace.posterior.point()
    for t in range(trace.z.shape[1]):
        assert not torch.equal(trace.z[:, t], points[:, t])
    assert not torch.equal(terms.objective(), others.objective())
