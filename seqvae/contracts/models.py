"""The contract of a model of three parts: checks that hold for every one.

A check takes a function `make(slots, height, width, channels, seed, dtype)` that builds the model, with every
weight moved away from where it starts. It raises AssertionError where the model breaks the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqvae import checkpoint
from seqvae.checkpoint import Checkpoint
from seqvae.contracts.scenes import as_batch, video
from seqvae.elbo import elbo
from seqvae.matching import reorder
from seqvae.objectives import ELBO, Objective
from seqvae.sequence import SequenceModel
from seqvae.shapes import check_shapes
from seqvae.tree import map_record
from seqvae.types import Dynamics, Encoding, FrameModel, Posterior, Terms

Make = Callable[..., SequenceModel]
F32, F64 = torch.float32, torch.float64
# slots, height, width, channels, dtype
CASES = [(3, 32, 32, 1, F32), (2, 50, 50, 3, F32), (6, 24, 40, 3, F64), (1, 20, 16, 1, F64)]
FRAMES = 7  # of clips with missing frames
OF_STATES = ("log_prior", "neg_log_posterior")  # terms that a missing frame has too


# Shapes, and what a call may depend on.


def parts_have_their_base_classes(make: Make) -> None:
    model = make()
    assert isinstance(model.frame, FrameModel)
    assert isinstance(model.posterior, Posterior)
    assert isinstance(model.dynamics, Dynamics)
    assert model.layout is model.dynamics.layout
    check_shapes(model)


def shapes_and_dtypes(make: Make, case: tuple[int, int, int, int, torch.dtype]) -> None:
    k, h, w, c, dtype = case
    model = make(k, h, w, c, dtype=dtype)
    clip, d, k = video(k, 4, 2, h, w, c, dtype), model.layout.dim, model.frame.slots
    trace = model.filter(clip, sample=True)
    assert trace.posterior is not None
    densities = [trace.prior.log_prob(trace.z), trace.posterior.log_prob(trace.z)]
    terms = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    for x, shape in [(trace.z, (2, 4, k, d)), *((x, (2, 4)) for x in (*densities, *terms.values()))]:
        assert x.shape == shape and x.dtype == dtype and x.isfinite().all()

    future = model.imagine(trace.carry, 3)
    assert future.z.shape == (2, 3, k, d) and future.z.dtype == dtype and future.posterior is None
    scene = model.decode(future)
    assert scene.frames.shape == (2, 3, c, h, w) and scene.frames.dtype == dtype
    assert scene.frames.min() >= 0 and scene.frames.max() <= 1, "frames lie in [0, 1]"
    assert scene.masks is None or scene.masks.shape == (2, 3, k, h, w)
    for named in (model.positions(future.z), model.velocities(future.z)):
        assert named is None or named.shape == (2, 3, k, 2)
    assert set(model.frame.unnormalised) <= set(terms)


def one_sequence_and_one_frame_will_do(make: Make) -> None:
    model, clip = make(), video(frames=1, batch=1)
    trace = model.filter(clip, sample=True)
    assert elbo(model, clip, trace).objective().shape == (1, 1)
    assert model.imagine(trace.carry, 1).z.shape[:2] == (1, 1)


def a_sequence_is_inferred_alike_in_any_batch(make: Make) -> None:
    model, clips = make(dtype=F64), video(batch=4, dtype=F64)
    together = model.filter(clips, sample=False).z
    alone = torch.cat([model.filter(clip[None], sample=False).z for clip in clips])
    assert_close(together, alone, rtol=1e-9, atol=1e-9)


def the_same_seed_gives_the_same_model_and_the_same_numbers(make: Make) -> None:
    clip, results = video(), []
    for _ in range(2):
        model = make(seed=5)
        trace = model.filter(clip, sample=True)
        future = model.imagine(trace.carry, 2, sample=True)
        results.append(
            [*model.state_dict().values(), trace.z, future.z, elbo(model, clip, trace).objective()]
        )
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def samples_differ_and_point_estimates_do_not(make: Make) -> None:
    model, clip = make(), video()
    assert not torch.equal(model.filter(clip, sample=True).z, model.filter(clip, sample=True).z)
    carries = [model.filter(clip, sample=False).carry for _ in range(2)]
    a, b = (model.imagine(carry, 8) for carry in carries)
    assert torch.equal(a.z, b.z)
    drawn = []
    for sample in (True, torch.tensor([True, False])):  # of all sequences, or of the first one
        torch.manual_seed(0)
        drawn.append(model.imagine(carries[0], 8, sample=sample).z)
    assert not torch.equal(a.z, drawn[0])
    assert torch.equal(drawn[1], torch.stack([drawn[0][0], a.z[1]]))


def a_saved_model_comes_back_as_it_was(make: Make) -> None:
    model, clip = make(seed=3), video()
    with TemporaryDirectory() as folder:
        saved = Checkpoint(0, {"model": model.config}, model.spec, model.state_dict())
        checkpoint.save(Path(folder) / checkpoint.BEST, saved)
        torch.manual_seed(99)  # random structure is part of the file, not of the building
        loaded = checkpoint.load_model(folder)
    assert loaded.spec == model.spec and loaded.config == model.config
    model.eval().requires_grad_(False)  # as loaded: an LSTM with weights to train rounds otherwise
    before, after = (m.filter(clip, sample=False) for m in (model, loaded))
    assert torch.equal(before.z, after.z)
    terms = [elbo(m, clip, before).values for m in (model, loaded)]
    assert all(torch.equal(terms[0][term], terms[1][term]) for term in terms[0])
    assert torch.equal(model.decode(before).frames, loaded.decode(before).frames)


# Devices and precision.


class OneDevice(TorchDispatchMode):
    """Refuses operations that see or make a tensor on another device, single numbers apart."""

    def __init__(self, device: str):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs, result)):
            if isinstance(x, Tensor) and x.dim() > 0 and x.device.type != self.device:
                raise AssertionError(f"{func} meets a tensor {tuple(x.shape)} on {x.device.type}")
        return result


def no_tensor_is_left_behind_on_the_cpu(make: Make) -> None:
    # The meta device has shapes but no numbers: a tensor of another device is refused, and so is a
    # number that is read back from the device in the middle of a step.
    model, clip = make().to("meta"), video().to("meta")
    observed = torch.ones(2, 5, dtype=torch.bool, device="meta")
    with OneDevice("meta"):
        terms, trace = ELBO(start=1)(model, as_batch(video=clip), 0.0)
        model.filter(clip, carry=trace.carry, observed=observed, sample=True)
        model.decode(model.imagine(trace.carry, 2, sample=True))
    terms.objective().mean().backward()


def frame_terms_keep_their_precision_under_autocast(make: Make) -> None:
    model, clip = make(), video(batch=4)
    trace = model.filter(clip, sample=True)
    exact = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    for term, value in exact.items():
        assert terms[term].dtype == F32
        assert_close(terms[term], value, rtol=0, atol=0.1)  # nats per frame; bfloat16 is off by up to 100


def training_under_autocast(make: Make) -> None:
    model, clip = make(), video()
    with torch.autocast("cpu", torch.bfloat16):
        terms, trace = ELBO(start=3)(model, as_batch(video=clip), 0.0)
    assert trace.z.dtype == F32 and all(value.dtype == F32 for value in terms.values.values())
    terms.objective().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def objects_are_seen_as_sharply_under_autocast(make: Make) -> None:
    model, clip = make(), video()
    if "position" not in model.frame.layout:
        return
    where = model.frame.layout["position"]
    exact = model.frame.encode(clip).mean[..., where]
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.frame.encode(clip).mean[..., where]
    assert rough.dtype == F32
    # numbers up to 1, of which bfloat16 keeps eight digits: a tenth of a pixel
    assert_close(rough, exact, rtol=0, atol=2**-8)


def _numbers(record: Any) -> list[Tensor]:
    """Return the tensors of a record of records."""
    if isinstance(record, Tensor):
        return [record]
    return [x for f in fields(record) for x in _numbers(getattr(record, f.name))]


def a_transition_keeps_its_precision_under_autocast(make: Make) -> None:
    model = make()
    like = torch.zeros(16, model.frame.slots, model.layout.dim)
    z = 0.3 * torch.randn_like(like)
    encoding = Encoding(z, torch.ones_like(z))  # for dynamics that read frames
    carry = model.dynamics.init(16, like)
    for _ in range(2):  # the published STOVE needs two states before its network speaks
        carry = model.dynamics.update(carry, z, encoding)
    exact = _numbers(model.dynamics.predict(carry, None).prior)
    with torch.autocast("cpu", torch.bfloat16):
        prior = _numbers(model.dynamics.predict(carry, None).prior)
    for x, y in zip(prior, exact, strict=True):
        assert x.dtype == F32
        assert_close(x, y, rtol=1e-5, atol=1e-6)


# Filtering and imagining.


def tensors(record: Any) -> list[Tensor]:
    """Return every tensor of a record: states, densities, encoding, carry."""
    collected = []
    map_record(lambda x: collected.append(x) or x, record)
    return collected


def assert_same(a: Any, b: Any) -> None:
    """Assert equality up to rounding in float64."""
    assert_close(tensors(a), tensors(b), rtol=1e-8, atol=1e-8)


def a_filter_in_two_chunks_is_the_whole_filter(make: Make, sample: bool) -> None:
    model, clip = make(dtype=F64), video(frames=6, dtype=F64)
    torch.manual_seed(1)
    whole = model.filter(clip, sample=sample)
    torch.manual_seed(1)
    first = model.filter(clip[:, :2], sample=sample)
    assert_same(first.then(model.filter(clip[:, 2:], carry=first.carry, sample=sample)), whole)


def the_future_changes_nothing_before_it(make: Make) -> None:
    model, clip = make(), video(frames=6)
    changed = clip.clone()
    changed[:, 4:] = torch.rand_like(changed[:, 4:])
    torch.manual_seed(1)
    z = model.filter(clip, sample=True).z
    torch.manual_seed(1)
    z_changed = model.filter(changed, sample=True).z
    assert torch.equal(z[:, :4], z_changed[:, :4])
    assert not torch.equal(z[:, 4], z_changed[:, 4])


def the_pixels_of_a_missing_frame_do_not_matter(make: Make, pixels: float) -> None:
    model, clip = make(dtype=F64), video(frames=5, dtype=F64)
    observed = torch.ones(2, 5, dtype=torch.bool)
    observed[0, 0] = observed[1, 2] = observed[:, 3] = False
    hidden = torch.where(observed[..., None, None, None], clip, pixels)
    same_z = [model.filter(c, observed=observed, sample=False).z for c in (clip, hidden)]
    assert torch.equal(*same_z)
    assert not torch.allclose(same_z[0], model.filter(clip, sample=False).z)


def objects_in_order(model: SequenceModel, order: list[int]) -> Tensor:
    """Return an order of the slots that keeps a background in its place."""
    first = model.background_slots
    return torch.tensor([*range(first), *(first + i for i in order)])


def the_posterior_is_invariant_to_the_order_of_a_frame_s_objects(make: Make) -> None:
    model, clip = make(dtype=F64), video(frames=4, dtype=F64)
    if model.posterior.keeps_frame_order or model.frame.slots - model.background_slots != 3:
        return
    carry = model.filter(clip[:, :3], sample=True).carry
    encoding = model.frame.encode(clip).at(3)
    order = torch.stack([objects_in_order(model, [1, 2, 0]), objects_in_order(model, [0, 2, 1])])
    shuffled = encoding.map(lambda x: reorder(x, order))
    transition = model.dynamics.predict(carry.dynamics, None)
    (q, _, after), (q_shuffled, _, after_shuffled) = (
        model.posterior(e, transition, carry.posterior) for e in (encoding, shuffled)
    )
    assert_same(q, q_shuffled)
    assert_same(after, after_shuffled)


def a_gradient_reaches_every_weight(make: Make) -> None:
    model, clip = make(), video(frames=4)
    terms, trace = ELBO(start=1)(model, as_batch(video=clip), 0.0)
    total = terms.objective().mean()
    guess = None if trace.encoding is None else model.posterior.baseline(trace.encoding)
    if guess is not None:  # it has an objective of its own
        total = total + guess.sum()
    total.backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 0, name


# Missing frames in objectives.


def gaps() -> Tensor:
    """Return `observed` "b t": missing are the first frame, the last before a rollout, and later ones."""
    observed = torch.ones(2, FRAMES, dtype=torch.bool)
    observed[0, [0, 5]] = observed[1, [3, 4]] = False
    return observed


def missing_batch(model: SequenceModel, clip: Tensor, of_encoding: bool, hidden: float | None) -> Any:
    """Return a batch whose missing frames hold what they would have shown, or the number `hidden`."""
    observed = gaps()
    if not of_encoding:
        if hidden is not None:
            clip = clip.masked_fill(~observed[..., None, None, None], hidden)
        return as_batch(video=clip, observed=observed)
    with torch.no_grad():
        seen = model.frame.encode(clip)
    numbers = [seen.mean, seen.precision]
    if hidden is not None:
        numbers = [x.masked_fill(~observed[..., None, None], hidden) for x in numbers]
    return as_batch(encoding=Encoding(numbers[0], numbers[1]), observed=observed)


def outcome(model: SequenceModel, objective: Objective, given: Any) -> tuple[Terms, list[Tensor]]:
    """Return the terms, and the gradients of their total."""
    torch.manual_seed(3)
    model.zero_grad()
    terms, trace = objective(model, given, 0.5)
    terms.objective().mean().backward()
    assert trace.z.isfinite().all()
    return terms, [p.grad.clone() for p in model.parameters() if p.grad is not None]


def pixels_of_missing_frames_reach_neither_terms_nor_gradients(
    make: Make, objective: Objective, of_encoding: bool = False
) -> None:
    model, clip = make(dtype=F64), video(frames=FRAMES, dtype=F64)
    found = [
        outcome(model, objective, missing_batch(model, clip, of_encoding, hidden))
        for hidden in (None, torch.nan)
    ]
    (shown, gradients), (blind, blind_gradients) = found
    assert gradients and all(x.isfinite().all() for x in blind_gradients)
    for term, value in blind.values.items():
        assert value.isfinite().all(), term
        assert torch.equal(value, shown.values[term]), term
    assert blind.bound_per_frame().isfinite() or not blind.bounded
    assert len(gradients) == len(blind_gradients)
    assert_close(blind_gradients, gradients, rtol=1e-9, atol=1e-12)


def likelihoods_of_missing_frames_are_left_out_and_those_of_states_are_not(make: Make) -> None:
    model, clip = make(dtype=F64), video(frames=FRAMES, dtype=F64)
    given = missing_batch(model, clip, False, torch.nan)
    terms, _ = outcome(model, ELBO(start=1), given)
    for term, value in terms.values.items():
        missing, seen = value[~given.observed], value[given.observed]
        assert (seen != 0).any(), term  # the energy of boxes outside of a frame is 0
        if term in OF_STATES:
            assert (missing != 0).all(), term
        else:
            assert (missing == 0).all() and torch.equal(terms.defined[term], given.observed), term
    assert terms.defined.keys() == terms.values.keys() - set(OF_STATES)


_PLAIN: tuple[Callable[[Make], None], ...] = (
    parts_have_their_base_classes,
    one_sequence_and_one_frame_will_do,
    a_sequence_is_inferred_alike_in_any_batch,
    the_same_seed_gives_the_same_model_and_the_same_numbers,
    samples_differ_and_point_estimates_do_not,
    a_saved_model_comes_back_as_it_was,
    no_tensor_is_left_behind_on_the_cpu,
    frame_terms_keep_their_precision_under_autocast,
    training_under_autocast,
    objects_are_seen_as_sharply_under_autocast,
    a_transition_keeps_its_precision_under_autocast,
    the_future_changes_nothing_before_it,
    the_posterior_is_invariant_to_the_order_of_a_frame_s_objects,
    a_gradient_reaches_every_weight,
    likelihoods_of_missing_frames_are_left_out_and_those_of_states_are_not,
)
CHECKS: dict[str, Callable[[Make], None]] = {
    **{check.__name__: check for check in _PLAIN},
    **{
        f"shapes_and_dtypes, {k} slots, {h}x{w}x{c}": partial(shapes_and_dtypes, case=(k, h, w, c, dtype))
        for k, h, w, c, dtype in CASES
    },
    **{
        f"a_filter_in_two_chunks_is_the_whole_filter, {name}": partial(
            a_filter_in_two_chunks_is_the_whole_filter, sample=sample
        )
        for name, sample in {"points": False, "samples": True}.items()
    },
    **{
        f"the_pixels_of_a_missing_frame_do_not_matter, {pixels}": partial(
            the_pixels_of_a_missing_frame_do_not_matter, pixels=pixels
        )
        for pixels in (0.0, torch.nan)
    },
    "pixels_of_missing_frames_reach_neither_terms_nor_gradients": partial(
        pixels_of_missing_frames_reach_neither_terms_nor_gradients, objective=ELBO(start=1)
    ),
}
