"""What every shipped model offers: one suite for all of configs/model."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqvae import checkpoint
from seqvae.checkpoint import Checkpoint
from seqvae.elbo import elbo
from seqvae.objectives import ELBO
from seqvae.types import Dynamics, Encoding, FrameModel, Posterior
from tests.models import MODELS, OF_OBJECTS, SHIPPED, as_batch, config, every_model, make, video

F32, F64 = torch.float32, torch.float64
# slots, height, width, channels, dtype
CASES = [(3, 32, 32, 1, F32), (2, 50, 50, 3, F32), (6, 24, 40, 3, F64), (1, 20, 16, 1, F64)]


@every_model
def test_parts_have_the_protocols(name):
    model = make(name)
    assert isinstance(model.frame, FrameModel)
    assert isinstance(model.posterior, Posterior)
    assert isinstance(model.dynamics, Dynamics)
    assert model.layout is model.dynamics.layout


@pytest.mark.parametrize(
    ("name", "k", "h", "w", "c", "dtype"),
    [(name, *case) for name in MODELS for case in CASES],
)
def test_shapes_and_dtypes(name, k, h, w, c, dtype):
    model = make(name, k, h, w, c, dtype=dtype)
    clip, d, k = video(k, 4, 2, h, w, c, dtype), model.layout.dim, model.frame.slots
    trace = model.filter(clip, sample=True)
    densities = [trace.prior.log_prob(trace.z), trace.posterior.log_prob(trace.z)]
    terms = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    for x, shape in [(trace.z, (2, 4, k, d)), *((x, (2, 4)) for x in (*densities, *terms.values()))]:
        assert x.shape == shape and x.dtype == dtype and x.isfinite().all()

    future = model.imagine(trace.carry, 3)
    assert future.z.shape == (2, 3, k, d) and future.z.dtype == dtype and future.posterior is None
    scene = model.decode(future)
    assert scene.frames.shape == (2, 3, c, h, w) and scene.frames.dtype == dtype
    assert scene.frames.min() >= 0 and scene.frames.max() <= 1
    assert scene.masks is None or scene.masks.shape == (2, 3, k, h, w)
    for named in (model.positions(future.z), model.velocities(future.z)):
        assert named is None or named.shape == (2, 3, k, 2)
    assert set(model.frame.unnormalised) <= set(terms)


@every_model
def test_one_sequence_and_one_frame_will_do(name):
    model, clip = make(name), video(frames=1, batch=1)
    trace = model.filter(clip, sample=True)
    assert elbo(model, clip, trace).objective().shape == (1, 1)
    assert model.imagine(trace.carry, 1).z.shape[:2] == (1, 1)


@every_model
def test_a_sequence_is_inferred_alike_in_any_batch(name):
    model, clips = make(name, dtype=F64), video(batch=4, dtype=F64)
    together = model.filter(clips, sample=False).z
    alone = torch.cat([model.filter(clip[None], sample=False).z for clip in clips])
    assert_close(together, alone, rtol=1e-9, atol=1e-9)


@every_model
def test_the_same_seed_gives_the_same_model_and_the_same_numbers(name):
    clip, results = video(), []
    for _ in range(2):
        model = make(name, seed=5)
        trace = model.filter(clip, sample=True)
        future = model.imagine(trace.carry, 2, sample=True)
        results.append(
            [*model.state_dict().values(), trace.z, future.z, elbo(model, clip, trace).objective()]
        )
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@every_model
def test_samples_differ_and_point_estimates_do_not(name):
    model, clip = make(name), video()
    assert not torch.equal(model.filter(clip, sample=True).z, model.filter(clip, sample=True).z)
    carries = [model.filter(clip, sample=False).carry for _ in range(2)]
    a, b = (model.imagine(carry, 8) for carry in carries)
    assert torch.equal(a.z, b.z)
    assert not torch.equal(a.z, model.imagine(carries[0], 8, sample=True).z)


@every_model
def test_a_saved_model_comes_back_as_it_was(name, tmp_path):
    model, clip = make(name, seed=3), video()
    path = tmp_path / checkpoint.BEST
    checkpoint.save(path, Checkpoint(0, {"model": config(name)}, model.spec, model.state_dict()))
    torch.manual_seed(99)  # random structure is part of the file, not of the building
    loaded = checkpoint.load_model(tmp_path)
    assert loaded.spec == model.spec and loaded.config == model.config
    model.eval().requires_grad_(False)  # as loaded: an LSTM with weights to train rounds otherwise
    before, after = (m.filter(clip, sample=False) for m in (model, loaded))
    assert torch.equal(before.z, after.z)
    terms = [elbo(m, clip, before).values for m in (model, loaded)]
    assert all(torch.equal(terms[0][term], terms[1][term]) for term in terms[0])
    assert torch.equal(model.decode(before).frames, loaded.decode(before).frames)


class OneDevice(TorchDispatchMode):
    """Refuses operations that see or make a tensor on another device, single numbers apart."""

    def __init__(self, device: str):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs, result)):
            if isinstance(x, Tensor) and x.dim() > 0 and x.device.type != self.device:
                raise AssertionError(f"{func} meets a tensor {tuple(x.shape)} on {x.device.type}")
        return result


@every_model
def test_no_tensor_is_left_behind_on_the_cpu(name):
    # The meta device has shapes but no numbers: a tensor of another device is refused, and so is a
    # number that is read back from the device in the middle of a step.
    model, clip = make(name).to("meta"), video().to("meta")
    observed = torch.ones(2, 5, dtype=torch.bool, device="meta")
    with OneDevice("meta"):
        terms, trace = ELBO(start=1)(model, as_batch(video=clip), 0.0)
        model.filter(clip, carry=trace.carry, observed=observed, sample=True)
        model.decode(model.imagine(trace.carry, 2, sample=True))
    terms.objective().mean().backward()


@every_model
def test_frame_terms_keep_their_precision_under_autocast(name):
    model, clip = make(name), video(batch=4)
    trace = model.filter(clip, sample=True)
    exact = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.frame.terms(clip, trace.z, trace.encoding, trace.context)
    for term, value in exact.items():
        assert terms[term].dtype == F32
        assert_close(terms[term], value, rtol=0, atol=0.1)  # nats per frame; bfloat16 is off by up to 100


@every_model
def test_training_under_autocast(name):
    model, clip = make(name), video()
    with torch.autocast("cpu", torch.bfloat16):
        terms, trace = ELBO(start=3)(model, as_batch(video=clip), 0.0)
    assert trace.z.dtype == F32 and all(value.dtype == F32 for value in terms.values.values())
    terms.objective().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", OF_OBJECTS)
def test_objects_are_seen_as_sharply_under_autocast(name):
    model, clip = make(name), video()
    where = model.frame.layout["position"]
    exact = model.frame.encode(clip).mean[..., where]
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.frame.encode(clip).mean[..., where]
    assert rough.dtype == F32
    # numbers up to 1, of which bfloat16 keeps eight digits: a tenth of a pixel
    assert_close(rough, exact, rtol=0, atol=2**-8)


def numbers(record: Any) -> list[Tensor]:
    """The tensors of a record of records."""
    if isinstance(record, Tensor):
        return [record]
    return [x for f in fields(record) for x in numbers(getattr(record, f.name))]


@every_model
def test_a_transition_keeps_its_precision_under_autocast(name):
    model = make(name)
    like = torch.zeros(16, model.frame.slots, model.layout.dim)
    z = 0.3 * torch.randn_like(like)
    encoding = Encoding(z, torch.ones_like(z))  # for dynamics that read frames
    carry = model.dynamics.init(16, like)
    for _ in range(2):  # the published STOVE needs two states before its network speaks
        carry = model.dynamics.update(carry, z, encoding)
    exact = numbers(model.dynamics.predict(carry, None).prior)
    with torch.autocast("cpu", torch.bfloat16):
        prior = numbers(model.dynamics.predict(carry, None).prior)
    for x, y in zip(prior, exact, strict=True):
        assert x.dtype == F32
        assert_close(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_config_says_no_more_than_data_can_be_given(name):
    plain: list[Any] = tree_leaves(config(name))
    assert all(isinstance(x, (str, int, float, bool, type(None))) for x in plain)
