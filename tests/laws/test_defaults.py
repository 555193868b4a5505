"""Defaults, on which the configs of checkpoints rely, and initial weights."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.dynamics import gru, markov
from tests.models import config

STDS = dict.fromkeys(("prior_std", "proposal_std", "walk", "first_std"))
DEFAULTS = {
    "frames.supair.SuPAIR": {
        "glimpse": 10,
        "overlap_rate": 10.0,
        "area": "pixels",
        "object_variance": (0.12, 0.35),
        "background_variance": (0.002, 0.16),
        "velocity": True,
    },
    "frames.supair_colour.ColourSuPAIR": {
        "glimpse": 10,
        "overlap_rate": 10.0,
        "object_variance": (0.12, 0.35),
        "background_variance": (0.002, 0.16),
        "deviation": 0.35,
        "velocity": True,
    },
    "frames.spatial_vae.SpatialVAE": {
        "appearance": 8,
        "glimpse": 12,
        "hidden": 64,
        "std": 0.1,
        "learn_std": False,
        "velocity": True,
    },
    "frames.air.AIR": {
        "appearance": 16,
        "glimpse": 16,
        "hidden": 128,
        "std": 0.3,
        "learn_std": False,
        "dark": -2.0,
    },
    "frames.monet.MONet": {
        "masks": "posterior",
        "std": 0.11,
        "background_std": 0.09,
        "velocity": False,
        "decoder_masks": 0.5,
        "attention_masks": 0.5,
    },
    "frames.vae.VAE": {"code": 32, "context": 0},
    "posteriors.amortised.Amortised": {"context": 0, "hidden": None},
    "posteriors.air_posterior.AIRPosterior": {"baseline": 0},
    "posteriors.fused.Fused": {"match": "position", "fuse": True, "background_slots": 0},
    "posteriors.iaf.IAF": {"steps": 4, "hidden": 64},
    "dynamics.graph.GraphDynamics": {
        "actions": 0,
        "latent": 12,
        "width": 64,
        "velocity_scale": 0.05,
        **STDS,
    },
    "dynamics.stove.StoveDynamics": {"actions": 0, "latent": 12, **STDS},
    "dynamics.double.DoubleDynamics": {"actions": 0},
    "dynamics.gru.GRUDynamics": {"actions": 0, "context": 256, "hidden": 128, "reads_frames": False},
    "dynamics.independent.StandardNormal": {"actions": 0},
    "dynamics.linear.LinearDynamics": {"actions": 0, "std": None, "first_std": 1.0},
    "dynamics.air_prior.AIRPrior": {"actions": 0, "ratio": 0.5, "mean": None, "std": None},
    "prediction.PositionPrediction": {"context": 8, "weight": 1.0, "scale": 0.02, "uncertain": False},
    "collage.CollageLikelihood": {"reach": 1.6, "margin": 1.2, "jitter": 0.03, "together": False},
    "objectives.LatentELBO": {"start": 3, "rollout": None, "sharpen": 1.0},
    "objectives.ELBO": {"start": 1, "beta": 1.0, "rollout": None, "factors": None},
    "prediction.FramePrediction": {"context": 8, "weight": 1.0},
    "objectives.EnumeratedELBO": {"anneal": None},
    "objectives.ScoreFunctionELBO": {"anneal": None},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_stay_as_configs_of_checkpoints_rely_on_them(name):
    module, _, kind = name.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(f"seqvae.{module}"), kind).__init__)
    for key, value in DEFAULTS[name].items():
        default = signature.parameters[key].default
        assert default == value and type(default) is type(value), key


def test_stds_of_markov_dynamics():
    assert markov.PRIOR_STD == {"position": 0.01, "velocity": 0.01, "latent": 0.01}
    assert markov.PROPOSAL_STD == {"position": 0.3, "velocity": 0.04, "latent": 0.04}
    assert markov.FIRST_STD == {"size": 0.3, "position": 0.6, "velocity": 0.1, "latent": 0.1}
    assert markov.FIRST_SIZE == 0.3 and gru.STD_FLOOR == 1e-2
    assert {"size": 0.02, "appearance": 0.1, "colour": 0.02}.items() <= markov.RANDOM_WALK_STD.items()


def shipped(name: str):
    torch.manual_seed(0)
    return build(config(name), DataSpec(32, 32, 3, objects=3))


def test_glimpses_are_drawn_as_blobs_at_first():
    axis = torch.tensor([-1 + 2 * i / 11 for i in range(12)])
    blob = 3 - 5 * (axis.square() + axis.square()[:, None])
    model = shipped("spatial_vae").frame
    bias = model.draw[-1].bias.unflatten(0, (4, 12, 12))
    # as nn.Linear draws it: uniform up to 1 / sqrt(64)
    assert (bias[-1] - blob).abs().max() < 1 / 8 and bias[:3].abs().max() < 1 / 8
    axis = torch.tensor([-1 + 2 * i / 15 for i in range(16)])
    blob = -2 + 1 - 2 * (axis.square() + axis.square()[:, None])
    bias = shipped("air").frame.draw[-1].bias.unflatten(0, (3, 16, 16))
    assert (bias - blob).abs().max() < 1 / 128**0.5
    assert abs((bias - blob).mean()) < 4 / (3 * 128 * 768) ** 0.5


@pytest.mark.parametrize(("name", "std"), [("spatial_vae", 0.1), ("air", 0.3)])
def test_stds_of_pixels_start_as_given_and_learn_if_asked(name, std):
    assert_close(shipped(name).frame.log_std.exp().item(), std)
    assert not shipped(name).frame.log_std.requires_grad
    chosen = config(name)
    chosen["frame"] |= {"learn_std": True, "std": 0.2}
    learned = build(chosen, DataSpec(32, 32, 3, objects=3)).frame.log_std
    assert learned.requires_grad
    assert_close(learned.exp().item(), 0.2)


def test_networks_of_supair_start_as_grey_objects_on_black():
    frame = shipped("stove").frame
    for spn, mean, std in ((frame.objects, 0.5, 0.03), (frame.background, 0.0, 0.05)):
        n = spn.mean.numel()
        assert abs(spn.mean.mean().item() - mean) < 4 * std / n**0.5
        assert abs(spn.mean.std().item() / std - 1) < 4 / (2 * n) ** 0.5


SIZES = {
    "air": 391530,
    "gru_ssm": 402932,
    "linear": 84754,
    "monet": 160800,
    "monet_sequence": 192564,
    "spatial_vae": 128941,
    "stove": 116512,
    "stove_double": 148276,
    "vae": 89460,
    "vae_iaf": 163956,
    "vrnn": 558580,
}


@pytest.mark.parametrize("name", SIZES)
def test_a_model_has_as_many_weights_as_checkpoints_have(name):
    # learned factors on stds are left out: weights saved without them load as well
    weights = [p for key, p in shipped(name).named_parameters() if not key.endswith("log_factor")]
    assert sum(p.numel() for p in weights) == SIZES[name]
