"""Frame models, posteriors and dynamics in combination: what does not fit is refused, what fits works.

RULES states each rule of the build and of the parts in words, with a model that breaks it and the nearest
one that keeps it. FITTING lists what fits. A new part is one line in FRAMES, POSTERIORS or DYNAMICS, and its
place in FITTING.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.objectives import ELBO
from seqvae.sequence import SequenceModel
from tests.models import as_batch, config, video
from tests.refusals import refusal

SIZE = 16


def part(kind: str, target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"seqvae.{kind}.{target}", **arguments}


def factory(config: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    return {**config, **arguments, "_partial_": True}


SUPAIR, SPATIAL, VAE = config("stove")["frame"], config("spatial_vae")["frame"], config("vae_fc")["frame"]
FRAMES = {
    "supair": SUPAIR,
    "supair, still": SUPAIR | {"velocity": False},
    "supair, coloured": config("stove_colour")["frame"],
    "spatial_vae": SPATIAL,
    "spatial_vae, still": SPATIAL | {"velocity": False},
    "monet": config("monet")["frame"],
    "monet, moving": config("monet_sequence")["frame"],
    "monet, whole": config("monet_paper")["frame"],
    "air": config("air")["frame"],
    "vae": VAE | {"code": 6},
    "vae, sees h": VAE | {"code": 6, "context": 8},
}
FUSED, AMORTISED = part("posteriors", "fused.Fused"), part("posteriors", "amortised.Amortised")
IAF, COUNTED = part("posteriors", "iaf.IAF", steps=1), part("posteriors", "air_posterior.AIRPosterior")
POSTERIORS = {
    "fused": FUSED,
    "fused, background": FUSED | {"background_slots": 1},
    "fused by code": FUSED | {"match": "code"},
    "amortised": AMORTISED,
    "amortised, sees h": AMORTISED | {"context": 8},
    "iaf, fused": IAF | {"base": factory(FUSED)},
    "iaf, amortised": IAF | {"base": factory(AMORTISED)},
    "counted": COUNTED,
}
LINEAR, GRAPH = part("dynamics", "linear.LinearDynamics"), part("dynamics", "graph.GraphDynamics", latent=3)
STOVE, DOUBLE = part("dynamics", "stove.StoveDynamics", latent=3), part("dynamics", "double.DoubleDynamics")
GRU = part("dynamics", "gru.GRUDynamics", context=8, hidden=8)
DYNAMICS = {
    "independent": part("dynamics", "independent.StandardNormal"),
    "static": part("dynamics", "linear.StaticDynamics"),
    "linear": LINEAR,
    "graph": GRAPH,
    "stove": STOVE,
    "double linear": DOUBLE | {"dynamics": factory(LINEAR)},
    "double graph": DOUBLE | {"dynamics": factory(GRAPH)},
    "gru": GRU,
    "gru, reads frames": GRU | {"reads_frames": True},
    "counts": part("dynamics", "air_prior.AIRPrior"),
}

# Frame models, posteriors, dynamics: each of the first fits each of the second and each of the third.
FITTING = [
    (["supair", "supair, coloured", "spatial_vae"], ["fused", "iaf, fused"],
     ["static", "linear", "graph", "stove", "double linear", "double graph", "gru"]),
    (["monet, moving"], ["fused, background"],
     ["static", "linear", "graph", "stove", "double linear", "double graph", "gru"]),
    (["supair, still", "spatial_vae, still"], ["fused", "iaf, fused"],
     ["independent", "static", "graph", "stove", "double graph", "gru"]),
    (["monet"], ["fused, background"],
     ["independent", "static", "graph", "stove", "double graph", "gru"]),
    (["supair, still", "spatial_vae, still", "monet", "monet, whole"], ["amortised", "iaf, amortised"],
     ["independent"]),
    (["air"], ["counted"], ["counts"]),
    (["vae"], ["fused by code", "amortised", "iaf, amortised"],
     ["independent", "static", "gru", "gru, reads frames"]),
    (["vae"], ["amortised, sees h"], ["gru", "gru, reads frames"]),
    (["vae, sees h"], ["fused by code", "amortised", "amortised, sees h", "iaf, amortised"],
     ["gru", "gru, reads frames"]),
]  # fmt: skip
FITS = [names for row in FITTING for names in product(*row)]

Named = str | dict[str, Any]


def assemble(frame: Named, posterior: Named, dynamics: Named, slots: int | None = None) -> SequenceModel:
    """Build a model of three parts, each a name in the tables above or a config of its own."""
    parts = {
        "frame": FRAMES[frame] if isinstance(frame, str) else frame,
        "posterior": POSTERIORS[posterior] if isinstance(posterior, str) else posterior,
        "dynamics": DYNAMICS[dynamics] if isinstance(dynamics, str) else dynamics,
    }
    whole = parts["frame"]["_target_"] == VAE["_target_"]  # one code per frame, whatever the data shows
    return build(parts | {"slots": slots or (1 if whole else 2)}, DataSpec(SIZE, SIZE, 1, objects=2))


@dataclass(frozen=True)
class Rule:
    """A rule of who fits whom, the parts of a model that breaks it, and those of one that keeps it."""

    words: str
    breaks: tuple
    message: str
    keeps: tuple


RULES = {
    # two parts, joined in seqvae/build.py
    "context of the frame model": Rule(
        "A decoder that reads a context needs a dynamics that gives one of that size.",
        ("vae, sees h", "amortised", "static"),
        "model.frame.context=8: the dynamics gives a context of 0 numbers",
        ("vae, sees h", "amortised", "gru"),
    ),
    "context of the posterior": Rule(
        "So does a posterior that reads one, also within a flow.",
        ("vae", IAF | {"base": factory(AMORTISED, context=9)}, "gru"),
        "model.posterior.context=9: the dynamics gives a context of 8 numbers",
        ("vae", IAF | {"base": factory(AMORTISED, context=8)}, "gru"),
    ),
    "order of slots": Rule(
        "A dynamics that follows slots over time needs a posterior that keeps their order over time.",
        ("monet", "iaf, amortised", "graph"),
        "model.posterior: IAF leaves slots in the order in which each frame shows them, but GraphDynamics "
        "follows slots over time; use Fused, which matches",
        ("monet", "fused, background", "graph"),
    ),
    "order of a single slot": Rule(
        "One slot has one order, so any posterior keeps it.",
        ("monet, whole", "amortised", "static"),
        "StaticDynamics follows slots over time",
        ("vae", "amortised", "static"),
    ),
    "absent slots in the dynamics": Rule(
        "Where slots can be absent, the dynamics has to know of presence.",
        ("air", "fused", "gru"),
        "model.dynamics: GRUDynamics takes every slot for an object, and in this frame model some are "
        "absent; use AIRPrior",
        ("air", "counted", "counts"),
    ),
    "absent slots in the posterior": Rule(
        "So has the posterior.",
        ("air", "amortised", "counts"),
        "model.posterior: Amortised takes every slot for an object, and in this frame model some are "
        "absent; use AIRPosterior",
        ("air", "counted", "counts"),
    ),
    "background that is matched": Rule(
        "A posterior that matches slots leaves the background of the frame model in its place.",
        ("monet", "fused", "graph"),
        "model.posterior.background_slots=0: MONet has 1 slots of background that keep their place; give "
        "background_slots: 1",
        ("monet", "fused, background", "graph"),
    ),
    "objects taken for background": Rule(
        "It matches every other slot.",
        ("supair", "fused, background", "graph"),
        "model.posterior.background_slots=1: SuPAIR has 0 slots of background",
        ("supair", "fused", "graph"),
    ),
    "fields without a density": Rule(
        "Beside a frame model with a density, every field has a density over time.",
        ("spatial_vae", "fused", STOVE | {"held": ["size"]}),
        "model.dynamics.held: SpatialVAE is a density of frames",
        ("supair", "fused", STOVE | {"held": ["size"]}),
    ),
    "fields without a density, in one of two": Rule(
        "Also if the dynamics is one of two.",
        ("spatial_vae", "fused", DOUBLE | {"dynamics": factory(STOVE, held=["size"])}),
        "model.dynamics.held: SpatialVAE is a density of frames",
        ("supair", "fused", DOUBLE | {"dynamics": factory(STOVE, held=["size"])}),
    ),
    # the state that the frame model gives, checked by the other parts
    "one code per frame": Rule(
        "A VAE of whole frames has one slot.",
        ("vae", "amortised", "independent", 3),
        "model.slots=3: a VAE of whole frames has one code",
        ("vae", "amortised", "independent", 1),
    ),
    "a place to move from": Rule(
        "A component of MONet without a place has no velocity.",
        (FRAMES["monet, whole"] | {"velocity": True}, "amortised", "independent"),
        "model.frame.velocity=true: WholeComponent has no place",
        (FRAMES["monet"] | {"velocity": True}, "fused, background", "graph"),
    ),
    "velocity between independent frames": Rule(
        "Independent frames have no velocity.",
        ("supair", "fused", "independent"),
        "model.dynamics: StandardNormal takes frames for independent, so nothing has a velocity; give "
        "model.frame.velocity=false",
        ("supair, still", "fused", "independent"),
    ),
    "velocity in one frame": Rule(
        "A posterior that sees one frame at a time infers no velocity, with a flow as without.",
        ("supair", "iaf, amortised", "graph"),
        "model.posterior: Amortised looks at one frame at a time, which shows no velocity; use Fused",
        ("supair", "iaf, fused", "graph"),
    ),
    "presence for a prior on counts": Rule(
        "A prior on counts needs slots that can be absent.",
        ("supair, still", "counted", "counts"),
        "model.dynamics: AIRPrior needs presence in the state, which has size, position",
        ("air", "counted", "counts"),
    ),
    "presence for a posterior that counts": Rule(
        "So does a posterior that counts.",
        ("supair, still", "counted", "independent"),
        "model.posterior: AIRPosterior needs presence in the state, which has size, position",
        ("air", "counted", "counts"),
    ),
    "motion for straight lines": Rule(
        "Straight lines need a position and a velocity.",
        ("supair, still", "fused", "linear"),
        "model.dynamics: LinearDynamics needs position and velocity in the state, which has size, position; "
        "StaticDynamics needs neither",
        ("supair, still", "fused", "static"),
    ),
    "place for a graph network": Rule(
        "Dynamics with a graph network need a position, also as one of two.",
        ("vae", "fused by code", "double graph"),
        "model.dynamics: GraphDynamics needs position in the state, which has code; GRUDynamics and "
        "StaticDynamics need none",
        ("supair, still", "fused", "double graph"),
    ),
    "presence beside a graph network": Rule(
        "A graph network takes every slot for an object.",
        ("air", "counted", "stove"),
        "model.dynamics: StoveDynamics takes every slot for an object, and in this frame model some are "
        "absent; use AIRPrior",
        ("air", "counted", "counts"),
    ),
    "dynamics that read frames": Rule(
        "Dynamics that read frames have one slot, since in a frame of its own the model knows no order.",
        ("supair, still", "fused", "gru, reads frames"),
        "model.dynamics.reads_frames: in a frame that it imagined the model would not know which slot is "
        "which, nor see a velocity; give false",
        ("supair, still", "fused", "gru"),
    ),
    "two of a kind": Rule(
        "Two dynamics share their last state, so neither remembers more than that.",
        ("supair", "fused", DOUBLE | {"dynamics": factory(GRU)}),
        "model.dynamics.dynamics: GRUDynamics does not go by the last state",
        ("supair", "fused", DOUBLE | {"dynamics": factory(STOVE)}),
    ),
    "a place to match by": Rule(
        "Slots are matched by a field that each frame shows, by default the position.",
        ("vae", "fused", "static"),
        "model.posterior.match=position: Fused matches slots by a field that each frame shows, here code",
        ("vae", "fused by code", "static"),
    ),
    "matched by a velocity": Rule(
        "No frame shows a velocity.",
        ("supair", FUSED | {"match": "velocity"}, "graph"),
        "model.posterior.match=velocity: Fused matches slots by a field that each frame shows, here size, "
        "position; name one",
        ("supair", FUSED | {"match": "size"}, "graph"),
    ),
    "matched with a weight of 0": Rule(
        "A field to match by counts.",
        ("supair, coloured", FUSED | {"match": {"position": 1, "colour": 0}}, "graph"),
        "model.posterior.match.colour=0: expected a weight above 0",
        ("supair, coloured", FUSED | {"match": {"position": 1, "colour": 0.5}}, "graph"),
    ),
    "matched by latents": Rule(
        "Nor the latents of the dynamics.",
        ("supair", FUSED | {"match": "latent"}, "graph"),
        "here size, position; name one",
        ("supair", FUSED | {"match": "position"}, "graph"),
    ),
    "flow around a flow": Rule(
        "A flow bends a Gaussian, not another flow.",
        ("vae", IAF | {"base": factory(IAF, base=factory(AMORTISED))}, "independent"),
        "model.posterior.base: IAF bends a Gaussian, not another IAF; give more steps",
        ("vae", IAF | {"base": factory(AMORTISED), "steps": 2}, "independent"),
    ),
    "flow around a count": Rule(
        "Nor a posterior that counts.",
        ("air", IAF | {"base": factory(COUNTED)}, "counts"),
        "model.posterior.base: IAF bends a Gaussian, and AIRPosterior also draws a count",
        ("air", COUNTED, "counts"),
    ),
    # a part where one of another kind belongs
    "encoder of frames for objects": Rule(
        "A frame model of objects takes an encoder of objects.",
        (SUPAIR | {"encoder": factory(part("nn", "images.ConvEncoder"))}, "fused", "graph"),
        "model.frame.encoder._target_: expected a part of kind BoxEncoder, got seqvae.nn.images.ConvEncoder",
        (SUPAIR | {"encoder": factory(part("nn", "boxes.PursuitEncoder"))}, "fused", "graph"),
    ),
    "encoder of objects for frames": Rule(
        "A frame model of whole frames takes an encoder of frames.",
        (VAE | {"encoder": factory(part("nn", "boxes.PursuitEncoder"))}, "amortised", "independent"),
        "model.frame.encoder._target_: expected a part of kind ImageEncoder, got "
        "seqvae.nn.boxes.PursuitEncoder of kind BoxEncoder",
        (VAE | {"encoder": factory(part("nn", "images.ConvEncoder"))}, "amortised", "independent"),
    ),
    "dynamics for a posterior": Rule(
        "A flow goes around a posterior.",
        ("supair", IAF | {"base": factory(GRAPH)}, "graph"),
        "model.posterior.base._target_: expected a part of kind Posterior, got seqvae.dynamics.graph",
        ("supair", IAF | {"base": factory(FUSED)}, "graph"),
    ),
    "unit of an area": Rule(
        "The area of a box is counted in pixels or in units of the image.",
        (SUPAIR | {"area": "feet"}, "fused", "graph"),
        "model.frame.area=feet: expected pixels or image",
        (SUPAIR | {"area": "image"}, "fused", "graph"),
    ),
    "std of no field": Rule(
        "A std is given for a field of the state.",
        ("supair", "fused", GRAPH | {"prior_std": {"postion": 0.1}}),
        "model.dynamics.prior_std.postion: the state has no such field; it has size, position, velocity, "
        "latent",
        ("supair", "fused", GRAPH | {"prior_std": {"position": 0.1}}),
    ),
    "std of no field, straight lines": Rule(
        "Also that of straight lines.",
        ("supair", "fused", LINEAR | {"std": {"x": 0.1}}),
        "model.dynamics.std.x: the state has no such field; it has size, position, velocity",
        ("supair", "fused", LINEAR | {"std": {"velocity": 0.1}}),
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_parts_that_do_not_fit_are_refused_with_the_reason(rule):
    assert rule.message in refusal(assemble, *rule.breaks), rule.words
    assemble(*rule.keeps)


@pytest.mark.parametrize("frame", FRAMES)
def test_nothing_fits_but_what_is_listed_and_the_rest_is_refused_in_one_line(frame):
    for names in product([frame], POSTERIORS, DYNAMICS):
        if names in FITS:
            continue
        assert re.match(r"model\.", refusal(assemble, *names)), names


@pytest.mark.parametrize("names", FITS, ids=" + ".join)
def test_what_fits_trains_filters_imagines_and_decodes(names):
    model = assemble(*names)
    k = model.frame.slots
    clip = video(slots=k, frames=3, height=SIZE, width=SIZE)
    optimiser = torch.optim.SGD(model.parameters(), 1e-4)
    terms, _ = ELBO(start=1)(model, as_batch(video=clip), 0.0)
    (-terms.objective().mean()).backward()
    for name, weight in model.named_parameters():
        assert not weight.requires_grad or weight.grad is not None, f"{name} is not trained"
        assert weight.grad is None or weight.grad.isfinite().all(), name
    optimiser.step()

    # with a missing frame; and again with another last frame, which the frames before it do not see
    pair = torch.cat([clip, torch.cat([clip[:, :2], 1 - clip[:, 2:]], 1)])
    observed = torch.tensor([[True, True, True], [True, False, True]]).repeat(2, 1)
    with torch.no_grad():
        trace = model.filter(pair, observed=observed)
        future = model.imagine(trace.carry, 2, sample=True)
        frames = model.decode(future).frames
    for z, t in ((trace.z, 3), (future.z, 2)):
        assert z.shape == (4, t, k, model.layout.dim) and z.isfinite().all()
    assert frames.shape == (4, 2, 1, SIZE, SIZE) and frames.isfinite().all()
    before, after = trace.z.chunk(2)
    assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2], before[:, 2])
