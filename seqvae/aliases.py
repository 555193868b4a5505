"""Former names and defaults of parts, which configs in older checkpoints have or rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALIASES = {  # former target -> the one of today
    "seqvae.calibration.EnergyScore": "seqvae.objectives.EnergyScore",
    "seqvae.counted_objectives.EnumeratedELBO": "seqvae.objectives.EnumeratedELBO",
    "seqvae.counted_objectives.ScoreFunctionELBO": "seqvae.objectives.ScoreFunctionELBO",
    "seqvae.dynamics.count_prior.CountPrior": "seqvae.dynamics.air_prior.AIRPrior",
    "seqvae.frame_objectives.FrameELBO": "seqvae.objectives.ELBO",
    "seqvae.frame_objectives.FrameRollout": "seqvae.prediction.FramePrediction",
    "seqvae.nn.attention.RecurrentAttention": "seqvae.nn.masks.RecurrentAttention",
    "seqvae.nn.attention.SeedAttention": "seqvae.nn.masks.SeedAttention",
    "seqvae.nn.counting.GlimpseCounter": "seqvae.nn.boxes.GlimpseCounter",
    "seqvae.nn.counting.ImageCounter": "seqvae.nn.boxes.ImageCounter",
    "seqvae.nn.encoders.LSTMEncoder": "seqvae.nn.boxes.LSTMEncoder",
    "seqvae.nn.encoders.PursuitEncoder": "seqvae.nn.boxes.PursuitEncoder",
    "seqvae.nn.likelihoods.Bernoulli": "seqvae.nn.images.Bernoulli",
    "seqvae.nn.likelihoods.Gaussian": "seqvae.nn.images.Gaussian",
    "seqvae.nn.masks.PlacedComponent": "seqvae.nn.components.PlacedComponent",
    "seqvae.nn.masks.WholeComponent": "seqvae.nn.components.WholeComponent",
    "seqvae.objectives.FrameELBO": "seqvae.objectives.ELBO",
    "seqvae.objectives.FrameRollout": "seqvae.prediction.FramePrediction",
    "seqvae.objectives.Rollout": "seqvae.prediction.PositionPrediction",
    "seqvae.objectives.TemporalELBO": "seqvae.objectives.ELBO",
    "seqvae.posteriors.counted.Counted": "seqvae.posteriors.air_posterior.AIRPosterior",
    "seqvae.train.schedule.Constant": "seqvae.train.optim.Constant",
    "seqvae.train.schedule.Cosine": "seqvae.train.optim.Cosine",
    "seqvae.train.schedule.Decay": "seqvae.train.optim.Decay",
    "seqvae.train.schedule.Exponential": "seqvae.train.optim.Exponential",
    "seqvae.train.schedule.Ramp": "seqvae.train.optim.Ramp",
}
ARGUMENTS: dict[str, dict[str, Any]] = {  # former target -> arguments that stand for its former defaults
    "seqvae.objectives.TemporalELBO": {"start": 3},
}
FORMER_DEFAULTS: dict[str, dict[str, Any]] = {  # target -> defaults that checkpoints of version 1 rely on
    "seqvae.dynamics.graph.GraphDynamics": {"impact": False},
    "seqvae.posteriors.fused.Fused": {"innovation": False},
}


def with_former_defaults(config: Any) -> Any:
    """Return plain data with the arguments that were left out when the defaults were others."""
    if isinstance(config, Mapping):
        given = {name: with_former_defaults(value) for name, value in config.items()}
        target = config.get("_target_")
        return FORMER_DEFAULTS.get(target, {}) | given if isinstance(target, str) else given
    if isinstance(config, (list, tuple)):
        return type(config)(with_former_defaults(item) for item in config)
    return config


def rename_target(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose former `_target_` is today's; that of nested configs stays as it is."""
    target = config["_target_"]
    if not isinstance(target, str) or target not in ALIASES:
        return dict(config)
    return ARGUMENTS.get(target, {}) | dict(config) | {"_target_": ALIASES[target]}


def rename_targets(config: Any) -> Any:
    """Return plain data with the `_target_` of every config in it renamed to today's."""
    if isinstance(config, Mapping):
        renamed = rename_target(config) if "_target_" in config else config
        return {name: rename_targets(value) for name, value in renamed.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(rename_targets(item) for item in config)
    return config
