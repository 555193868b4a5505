"""Every input of every part has an effect: a gradient reaches each of its numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.distributions import CountedNormal, Normal
from seqvae.posteriors.fused import FusedCarry
from seqvae.sequence import SequenceModel
from seqvae.types import Encoding, LastState, Posterior, Transition
from tests.laws.common import F64, perturbed
from tests.models import MODELS, class_of, config, every_model, make, video


def dim(frames: int) -> Tensor:
    """Return colour frames so dark that no pixel is clipped if channels are summed."""
    return 0.3 * video(frames=frames, channels=3, dtype=F64)


def shown(model: SequenceModel) -> list[str]:
    """Return the names of the fields that a single frame has encoding for."""
    return [f.name for f in model.frame.layout.fields if f.difference_of is None and f.use != "dynamics"]


def something(model: SequenceModel, *leading: int) -> Tensor:
    """Draw states of objects inside the picture."""
    z = 0.3 * torch.randn(*leading, model.frame.slots, model.layout.dim, dtype=F64)
    if "position" in model.layout:
        z[..., model.layout["position"]].clamp_(-0.4, 0.4)
        z[..., model.layout["size"]] = 0.3 + 0.1 * torch.rand_like(z[..., model.layout["size"]])
    if "presence" in model.layout:
        z[..., model.layout["presence"]] = 1
    return z


def reached(outputs: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return, per input, the size of the gradient of a random combination of the outputs."""
    total = sum((torch.randn_like(x) * x).sum() for x in outputs.values())
    names = list(inputs)
    gradients = torch.autograd.grad(total, [inputs[n] for n in names], allow_unused=True, retain_graph=True)
    return {
        n: torch.zeros_like(inputs[n]) if g is None else g.abs()
        for n, g in zip(names, gradients, strict=True)
    }


def leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


@every_model
@pytest.mark.parametrize("channel", [0, 2])
def test_the_encoding_for_each_field_depends_on_the_pixels_of_its_own_frame_alone(name, channel):
    model, clip = make(name, channels=3, dtype=F64), dim(3)
    changed = clip.clone()
    changed[0, 1, channel] = 0.3 * clip[0, 1, channel].flip(0)
    before, after = model.frame.encode(clip), model.frame.encode(changed)
    for field in shown(model):
        where = model.layout[field]
        for x, y in ((before.mean, after.mean), (before.precision, after.precision)):
            differs = (x[..., where] != y[..., where]).any(-1).any(-1)
            # the precision of the logit of a presence is always 1, that of a colour a constant too
            constant = field in ("presence", "colour") and x is before.precision
            assert differs[0, 1] != constant, field
            differs[0, 1] = False
            assert not differs.any(), f"{field}: another frame has changed"


@every_model
def test_the_likelihood_of_a_frame_depends_on_its_pixels_and_on_every_field_of_z_that_it_shows(name):
    model = make(name, channels=3, dtype=F64)
    clip = dim(2)
    trace = model.filter(clip)
    clip = leaf(clip)
    inputs = {"z": leaf(something(model, 2, 2)), "clip": clip}
    if trace.context is not None:
        inputs["context"] = leaf(trace.context)
    terms = model.frame.terms(clip, inputs["z"], trace.encoding, inputs.get("context"))
    got = reached(terms, inputs)
    binarised = getattr(getattr(model.frame, "likelihood", None), "threshold", None) is not None
    assert binarised or (got["clip"].amax((-2, -1)) > 0).all()
    first = model.background_slots  # a background has an appearance only
    for field in shown(model):
        at = got["z"][:, :, 0 if field == "appearance" else first :, model.layout[field]]
        assert (at > 0).all(), field
    if getattr(model.frame, "context", 0):
        assert (got["context"] > 0).any(-1).all()
    scene = model.frame.decode(inputs["z"], inputs.get("context"))
    by_frames = reached({"frames": scene.frames}, inputs)
    for field in shown(model):
        if not (name == "air" and field == "position"):  # clipped at 1 where the light is full
            assert (by_frames["z"][..., model.layout[field]] > 0).any(), field
    if getattr(model.frame, "context", 0):
        assert (by_frames["context"] > 0).any(-1).all()


def gaussian(*shape: int) -> Normal:
    return Normal(leaf(0.3 * torch.randn(*shape, dtype=F64)), leaf(0.3 + torch.rand(*shape, dtype=F64)))


def expectation(model: SequenceModel, context: Tensor | None) -> tuple[Transition, dict[str, Tensor]]:
    """Return a transition and its numbers; a posterior may use its proposal, but not its prior."""
    k, d = model.frame.slots, model.layout.dim
    if "presence" in model.layout:
        q, p = (CountedNormal(leaf(torch.randn(2, k + 1, dtype=F64)), gaussian(2, k, d - 1)) for _ in (0, 1))
        given = {"mean": q.inner.mean, "std": q.inner.std, "log_counts": q.log_counts}
        other = {"prior": p.inner.mean}
    else:
        q, p = gaussian(2, k, d), gaussian(2, k, d)
        given, other = {"mean": q.mean, "std": q.std}, {"prior": p.mean}
    return Transition(p, q, context), given | other


def density(q) -> dict[str, Tensor]:
    """Return the numbers of which a posterior consists."""
    base = getattr(q, "base", q)
    inner = getattr(base, "inner", base)
    numbers = {"mean": inner.mean, "std": inner.std}
    return numbers | ({"log_counts": base.log_counts} if hasattr(base, "log_counts") else {})


@every_model
def test_the_posterior_depends_on_mean_and_precision_of_the_encoding_and_on_the_context(name):
    model = make(name, dtype=F64)
    e, k = model.frame.encode(video(frames=1, dtype=F64)).mean.shape[-1], model.frame.slots
    mean, precision = torch.randn(2, k, e, dtype=F64), 1 + torch.rand(2, k, e, dtype=F64)
    hidden = [model.layout[f.name] for f in model.frame.layout.fields if f.difference_of]
    for where in hidden:
        precision[..., where] = 0
    inputs = {"evidence": leaf(mean), "precision": leaf(precision)}
    context = None
    if getattr(model.posterior, "context", 0):
        context = inputs["context"] = leaf(torch.randn(2, model.posterior.context, dtype=F64))
    transition, expected = expectation(model, context)
    inputs |= expected
    carry = model.posterior.init(2, mean)
    if isinstance(carry, FusedCarry):
        like = torch.randn(2, k, model.layout.dim, dtype=F64)
        carry = FusedCarry(leaf(like), leaf(1 + like.square()))
        inputs |= {"before": carry.mean, "before_precision": carry.precision}
    q, _, _ = model.posterior(Encoding(inputs["evidence"], inputs["precision"]), transition, carry)
    got = reached(density(q), inputs)
    for field in shown(model):
        where = model.layout[field]
        assert (got["evidence"][..., where] > 0).all(), field
        if field != "presence":
            assert (got["precision"][..., where] > 0).all(), field
    if context is not None:
        assert (got["context"] > 0).any(-1).all()
    assert (got["prior"] == 0).all(), "a posterior that uses the generative prior"
    if "log_counts" in got:
        assert (got["mean"] == 0).all() and (got["log_counts"] == 0).all(), "all was observed"
        return
    fused = isinstance(carry, FusedCarry) and config(name)["posterior"].get("fuse", True)
    for field in model.layout.fields:
        follows = field.use == "dynamics" or (field.use == "product" and fused)
        assert bool((got["mean"][..., model.layout[field.name]] > 0).all()) == follows, field.name
        if field.difference_of:
            of = model.layout[field.difference_of]
            # an innovation starts from the predicted position, a difference from the one observed before
            relative = "mean" if getattr(base_of(model.posterior), "innovation", False) else "before"
            assert (got[relative][..., of] > 0).all() and (got["before_precision"][..., of] > 0).all()
            assert relative == "before" or (got["before"][..., of] == 0).all()


def base_of(posterior: Posterior) -> Posterior:
    """Return the Gaussian posterior that a flow is built on, or the posterior itself."""
    return getattr(posterior, "base", posterior)


@every_model
def test_the_posterior_of_a_missing_frame_is_the_proposal(name):
    model = make(name, dtype=F64)
    k, context = model.frame.slots, None
    e = model.frame.encode(video(frames=1, dtype=F64)).mean.shape[-1]
    if getattr(model.posterior, "context", 0):
        context = torch.randn(2, model.posterior.context, dtype=F64)
    transition, inputs = expectation(model, context)
    nothing = torch.zeros(2, k, e, dtype=F64)
    q, _, _ = model.posterior(Encoding(nothing, nothing), transition, model.posterior.init(2, nothing))
    expected = density(transition.proposal)
    for key, value in density(q).items():
        assert torch.equal(value, expected[key]), key
    z = transition.proposal.rsample()
    assert_close(q.log_prob(z), transition.proposal.log_prob(z))


@pytest.mark.parametrize(
    "name", [n for n in MODELS if class_of("dynamics", n) not in ("StandardNormal", "AIRPrior")]
)
def test_the_next_state_depends_on_every_number_of_the_last_and_on_the_action(name):
    chosen, actions = config(name), torch.tensor([0, 3])
    torch.manual_seed(0)
    model = perturbed(build(chosen, DataSpec(32, 32, 3, actions=4, objects=3)).double(), 0.05)
    clip = video(frames=3, channels=3, dtype=F64)
    trace = model.filter(clip, torch.zeros(2, 3, dtype=torch.long))
    dynamics, z = model.dynamics, leaf(trace.z[:, -1])
    encoding = trace.encoding.at(2)
    inputs = {"z": z, "evidence": leaf(encoding.mean)}
    given = Encoding(inputs["evidence"], encoding.precision)
    carry = dynamics.update(model.init(2, z).dynamics, z, given)
    if isinstance(carry, LastState):  # the network of the published STOVE begins with the third frame
        carry = dynamics.update(carry, z, given)
    else:
        inputs["memory"] = memory = leaf(trace.carry.dynamics)
        carry = dynamics.update(memory, z, given)
    transition = dynamics.predict(carry, actions)
    got = reached({"prior": transition.prior.mean, "proposal": transition.proposal.mean}, inputs)
    assert (got["z"] > 0).all()
    assert bool((got["evidence"] > 0).all()) == dynamics.reads_frames
    assert "memory" not in got or (got["memory"] > 0).any(-1).all()
    if class_of("dynamics", name) not in ("LinearDynamics", "StaticDynamics"):
        other = dynamics.predict(carry, actions.flip(0))
        for q, p in ((transition.prior, other.prior), (transition.proposal, other.proposal)):
            assert (q.mean != p.mean).any(-1).any(-1).all(), "an action that changes nothing"


def test_a_vrnn_sees_the_frame_in_posterior_and_memory():
    model = make("vrnn", dtype=F64)
    clips = video(frames=3, dtype=F64), video(frames=3, dtype=F64)
    carry = model.filter(clips[0][:, :1], sample=False).carry
    now = [model.filter(clip[:, 1:2], carry=carry, sample=False) for clip in clips]
    assert ((now[0].posterior.mean - now[1].posterior.mean).abs().sum((1, 2, 3)) > 0.01).all()
    # the memory differs even if the same state is inferred
    z, encoding = now[0].z[:, 0], [model.frame.encode(clip[:, 1:2]).at(0) for clip in clips]
    memories = [model.dynamics.update(carry.dynamics, z, e) for e in encoding]
    assert ((memories[0] - memories[1]).abs().sum(-1) > 0.01).all()
