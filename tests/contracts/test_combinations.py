"""Every frame model with every posterior and every dynamics: it works, or is refused with a reason.

A new part is one line in FRAMES, POSTERIORS or DYNAMICS; what it does not fit, a line in REFUSED.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqvae.build import DataSpec, build
from seqvae.errors import UserError
from seqvae.objectives import ELBO
from tests.models import config, video

SIZE = 16


def part(kind: str, target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"seqvae.{kind}.{target}", **arguments}


def factory(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"_partial_": True}


def whole_frame(**changes: Any) -> dict[str, Any]:
    return config("vae_fc")["frame"] | {"code": 6} | changes


FRAMES = {  # name -> slots, frame model
    "supair": (2, config("stove")["frame"]),
    "supair, still": (2, config("stove")["frame"] | {"velocity": False}),
    "spatial_vae": (2, config("spatial_vae")["frame"]),
    "spatial_vae, still": (2, config("spatial_vae")["frame"] | {"velocity": False}),
    "monet": (2, config("monet")["frame"]),
    "monet, moving": (2, config("monet_sequence")["frame"]),
    "monet, whole": (2, config("monet_paper")["frame"]),
    "air": (2, config("air")["frame"]),
    "vae": (1, whole_frame()),
    "vae, sees h": (1, whole_frame(context=8)),
}
FUSED, AMORTISED = part("posteriors", "fused.Fused"), part("posteriors", "amortised.Amortised")
POSTERIORS = {
    "fused": FUSED,
    "fused, background": FUSED | {"background_slots": 1},
    "fused by code": FUSED | {"match": "code"},
    "amortised": AMORTISED,
    "amortised, sees h": AMORTISED | {"context": 8},
    "iaf, fused": part("posteriors", "iaf.IAF", steps=1, base=factory(FUSED)),
    "iaf, amortised": part("posteriors", "iaf.IAF", steps=1, base=factory(AMORTISED)),
    "counted": part("posteriors", "air_posterior.AIRPosterior"),
}
LINEAR, GRAPH = part("dynamics", "linear.LinearDynamics"), part("dynamics", "graph.GraphDynamics", latent=3)
GRU = part("dynamics", "gru.GRUDynamics", context=8, hidden=8)
DYNAMICS = {
    "independent": part("dynamics", "independent.StandardNormal"),
    "static": part("dynamics", "linear.StaticDynamics"),
    "linear": LINEAR,
    "graph": GRAPH,
    "stove": part("dynamics", "stove.StoveDynamics", latent=3),
    "double linear": part("dynamics", "double.DoubleDynamics", dynamics=factory(LINEAR)),
    "double graph": part("dynamics", "double.DoubleDynamics", dynamics=factory(GRAPH)),
    "gru": GRU,
    "gru, reads frames": GRU | {"reads_frames": True},
    "counts": part("dynamics", "air_prior.AIRPrior"),
}

MOVING = {"supair", "spatial_vae", "monet, moving"}
OBJECTS = MOVING | {"supair, still", "spatial_vae, still", "monet", "air"}
SEVERAL = OBJECTS | {"monet, whole"}
BACKGROUND = {"monet", "monet, moving"}
BY_POSITION = {"fused", "iaf, fused", "fused, background"}
SEES_H = {"vae, sees h", "amortised, sees h"}

# (what is refused, a word of why); the first that applies, in the order in which the parts are built
REFUSED: list[tuple[Callable[[str, str, str], bool], str]] = [
    (lambda f, q, p: p == "independent" and f in MOVING, "nothing has a velocity"),
    (lambda f, q, p: p == "counts" and f != "air", "AIRPrior needs presence in"),
    (lambda f, q, p: "linear" in p and f not in MOVING, "needs position and velocity"),
    (lambda f, q, p: p in ("graph", "stove", "double graph") and f not in OBJECTS, "needs position in"),
    (lambda f, q, p: p in ("graph", "stove", "double graph") and f == "air", "absent; use AIRPrior"),
    (lambda f, q, p: p == "gru, reads frames" and f in SEVERAL, "reads_frames"),
    (lambda f, q, p: q in BY_POSITION and f not in OBJECTS, "posterior.match=position"),
    (lambda f, q, p: q == "fused by code" and f in SEVERAL, "posterior.match=code"),
    (lambda f, q, p: q == "counted" and f != "air", "AIRPosterior needs presence in"),
    (lambda f, q, p: "amortised" in q and f in MOVING, "shows no velocity"),
    (lambda f, q, p: not p.startswith("gru") and (f in SEES_H or q in SEES_H), "gives a context of 0"),
    (
        lambda f, q, p: (
            ("amortised" in q or q == "counted") and f in SEVERAL and p not in ("independent", "counts")
        ),
        "follows slots over time",
    ),
    (lambda f, q, p: f == "air" and p != "counts", "some are absent; use AIRPrior"),
    (lambda f, q, p: f == "air" and q != "counted", "some are absent; use AIRPosterior"),
    (lambda f, q, p: "fused" in q and (f in BACKGROUND) != ("background" in q), "that keep their place"),
]


def reason(*names: str) -> str | None:
    """A word of why the parts of these names do not fit, None where they do."""
    return next((word for applies, word in REFUSED if applies(*names)), None)


def assembled(frame: str, posterior: str, dynamics: str) -> Any:
    slots, chosen = FRAMES[frame]
    parts = {"frame": chosen, "posterior": POSTERIORS[posterior], "dynamics": DYNAMICS[dynamics]}
    return build(parts, DataSpec(SIZE, SIZE, 1, objects=slots))


ALL = list(product(FRAMES, POSTERIORS, DYNAMICS))


@pytest.mark.parametrize("names", [n for n in ALL if reason(*n) is None], ids=" + ".join)
def test_what_fits_trains_filters_imagines_and_decodes(names):
    torch.manual_seed(0)
    model = assembled(*names)
    k = model.frame.slots
    clip = video(slots=k, frames=3, height=SIZE, width=SIZE)
    optimiser = torch.optim.SGD(model.parameters(), 1e-4)
    terms, _ = ELBO(start=1)(model, SimpleNamespace(video=clip, prev_actions=None), 0.0)
    (-terms.objective().mean()).backward()
    for name, weight in model.named_parameters():
        assert not weight.requires_grad or weight.grad is not None, f"{name} is not trained"
        assert weight.grad is None or weight.grad.isfinite().all(), name
    optimiser.step()

    with torch.no_grad():
        observed = torch.tensor([[True, True, True], [True, False, True]])
        trace = model.filter(clip, observed=observed, sample=True)
        future = model.imagine(trace.carry, 2, sample=True)
        frames = model.decode(future).frames
    for z, t in ((trace.z, 3), (future.z, 2)):
        assert z.shape == (2, t, k, model.layout.dim) and z.isfinite().all()
    assert frames.shape == (2, 2, 1, SIZE, SIZE) and frames.isfinite().all()


@pytest.mark.parametrize("names", [n for n in ALL if reason(*n) is not None], ids=" + ".join)
def test_what_does_not_fit_is_refused_with_the_reason(names):
    with pytest.raises(UserError, match="^model[.]") as caught:
        assembled(*names)
    assert reason(*names) in str(caught.value) and "\n" not in str(caught.value)


IAF = part("posteriors", "iaf.IAF", base=factory(AMORTISED))
COUNTED = part("posteriors", "air_posterior.AIRPosterior")
CONV = factory(part("nn", "images.ConvEncoder"))
PURSUIT = factory(part("nn", "encoders.PursuitEncoder"))
BAD = {
    "encoder of objects": (
        "vae_fc",
        {"frame": whole_frame(encoder=PURSUIT)},
        "expected a part of kind ImageEncoder, got seqvae.nn.boxes.PursuitEncoder of kind BoxEncoder",
    ),
    "encoder of frames": (
        "stove",
        {"frame": config("stove")["frame"] | {"encoder": CONV}},
        "model.frame.encoder._target_: expected a part of kind BoxEncoder, got seqvae.nn.images.ConvEncoder",
    ),
    "flow around a flow": (
        "vae_iaf",
        {"posterior": part("posteriors", "iaf.IAF", base=factory(IAF))},
        "not another IAF",
    ),
    "flow around a count": (
        "air",
        {"posterior": part("posteriors", "iaf.IAF", base=factory(COUNTED))},
        "also draws a count",
    ),
    "flow around dynamics": (
        "vae_iaf",
        {"posterior": part("posteriors", "iaf.IAF", base=factory(GRAPH))},
        "model.posterior.base._target_: expected a part of kind Posterior, got seqvae.dynamics.graph",
    ),
    "two GRUs": (
        "stove",
        {"dynamics": part("dynamics", "double.DoubleDynamics", dynamics=factory(GRU))},
        "GRUDynamics does not go by the last state",
    ),
    "match by motion": ("stove", {"posterior": FUSED | {"match": "velocity"}}, "here size, position; name"),
    "match by latents": ("stove", {"posterior": FUSED | {"match": "latent"}}, "here size, position; name"),
    "std of nothing": (
        "stove",
        {"dynamics": GRAPH | {"prior_std": {"postion": 0.1}}},
        "model.dynamics.prior_std.postion: the state has no such field; it has size, position, velocity",
    ),
    "std of nothing, linear": ("linear", {"dynamics": LINEAR | {"std": {"x": 0.1}}}, "dynamics.std.x: the"),
    "unit of an area": (
        "stove",
        {"frame": config("stove")["frame"] | {"area": "feet"}},
        "model.frame.area=feet: expected pixels or image",
    ),
    "held, in one of two": (
        "spatial_vae",
        {
            "dynamics": part(
                "dynamics",
                "double.DoubleDynamics",
                dynamics=factory(part("dynamics", "stove.StoveDynamics", held=["size"])),
            )
        },
        "model.dynamics.held: SpatialVAE is a density of frames",
    ),
    "slots of a frame": ("vae_fc", {"slots": 3}, "model.slots=3: a VAE of whole frames has one code"),
}


@pytest.mark.parametrize(("name", "changes", "words"), BAD.values(), ids=BAD.keys())
def test_a_part_in_the_wrong_place_is_refused(name, changes, words):
    with pytest.raises(UserError) as caught:
        build(config(name) | changes, DataSpec(SIZE, SIZE, 1, objects=2))
    assert words in str(caught.value) and "\n" not in str(caught.value)
