"""Laws of filtering and imagining that every shipped model obeys."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.matching import reorder
from seqvae.objectives import ELBO
from seqvae.sequence import SequenceModel
from seqvae.tree import map_record
from tests.laws.common import F64, as_batch
from tests.models import FOLLOWING, MODELS, every_model, make, video

every_model_of_objects = pytest.mark.parametrize("name", FOLLOWING)


def tensors(record: Any) -> list[Tensor]:
    """Return every tensor of a record: states, densities, encoding, carry."""
    collected = []
    map_record(lambda x: collected.append(x) or x, record)
    return collected


def assert_same(a: Any, b: Any) -> None:
    """Assert equality up to rounding in float64."""
    assert_close(tensors(a), tensors(b), rtol=1e-8, atol=1e-8)


@every_model
@pytest.mark.parametrize("sample", [False, True])
def test_a_filter_in_two_chunks_is_the_whole_filter(name, sample):
    model, clip = make(name, dtype=F64), video(frames=6, dtype=F64)
    torch.manual_seed(1)
    whole = model.filter(clip, sample=sample)
    torch.manual_seed(1)
    first = model.filter(clip[:, :2], sample=sample)
    assert_same(first.then(model.filter(clip[:, 2:], carry=first.carry, sample=sample)), whole)


@every_model
def test_a_filtered_trace_goes_on_as_an_imagined_one(name):
    model, clip = make(name), video(frames=4)
    past = model.filter(clip)
    future = model.imagine(past.carry, 3)
    both = past.then(future)
    assert torch.equal(both.z, torch.cat([past.z, future.z], 1)) and both.carry is future.carry
    assert both.posterior is both.encoding is both.log_posterior is None, "imagined frames have none"
    frames = torch.cat([model.decode(past).frames, model.decode(future).frames], 1)
    assert_close(model.decode(both).frames, frames)


@every_model
def test_the_future_changes_nothing_before_it(name):
    model, clip = make(name), video(frames=6)
    changed = clip.clone()
    changed[:, 4:] = torch.rand_like(changed[:, 4:])
    torch.manual_seed(1)
    z = model.filter(clip, sample=True).z
    torch.manual_seed(1)
    z_changed = model.filter(changed, sample=True).z
    assert torch.equal(z[:, :4], z_changed[:, :4])
    assert not torch.equal(z[:, 4], z_changed[:, 4])


@every_model
@pytest.mark.parametrize("pixels", [0.0, torch.nan])
def test_the_pixels_of_a_missing_frame_do_not_matter(name, pixels):
    model, clip = make(name, dtype=F64), video(frames=5, dtype=F64)
    observed = torch.ones(2, 5, dtype=torch.bool)
    observed[0, 0] = observed[1, 2] = observed[:, 3] = False
    hidden = torch.where(observed[..., None, None, None], clip, pixels)
    same_z = [model.filter(c, observed=observed, sample=False).z for c in (clip, hidden)]
    assert torch.equal(*same_z)
    assert not torch.allclose(same_z[0], model.filter(clip, sample=False).z)


# except for the model that infers with other dynamics than it generates with
@pytest.mark.parametrize("name", [name for name in MODELS if name != "stove_double"])
def test_to_miss_frames_is_to_imagine_them(name):
    model, clip = make(name, dtype=F64), video(frames=6, dtype=F64)
    past = model.filter(clip[:, :3], sample=False)
    future = model.imagine(past.carry, 2)
    blind = model.filter(
        clip[:, 3:5], carry=past.carry, observed=torch.zeros(2, 2, dtype=torch.bool), sample=False
    )
    assert_same(blind.z, future.z)
    after = [model.filter(clip[:, 5:], carry=trace.carry, sample=False) for trace in (blind, future)]
    assert_same(*after)


def objects_in_order(model: SequenceModel, order: list[int]) -> Tensor:
    """Return an order of the slots that keeps a background in its place."""
    first = model.background_slots
    return torch.tensor([*range(first), *(first + i for i in order)])


@every_model_of_objects
def test_dynamics_are_equivariant_to_the_order_of_slots(name):
    model, clip = make(name, dtype=F64), video(frames=3, dtype=F64)
    carry = model.filter(clip, sample=True).carry.dynamics
    permutation = objects_in_order(model, [2, 0, 1])
    renumbered = model.dynamics.predict(map_record(lambda x: x[:, permutation], carry), None)
    expected = map_record(lambda x: x[:, permutation], model.dynamics.predict(carry, None))
    assert_same(renumbered, expected)


@every_model_of_objects
def test_the_posterior_is_invariant_to_the_order_of_a_frame_s_objects(name):
    model, clip = make(name, dtype=F64), video(frames=4, dtype=F64)
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


@every_model
def test_a_gradient_reaches_every_weight(name):
    model = make(name)
    terms, _ = ELBO(start=1)(model, as_batch(video=video(frames=4)), 0.0)
    terms.objective().mean().backward()
    for parameter_name, p in model.named_parameters():
        # the guess of a baseline has an objective of its own (test_counts.py)
        if p.requires_grad and not parameter_name.startswith("posterior.guess"):
            assert p.grad is not None and p.grad.isfinite().all(), parameter_name
            assert p.grad.abs().max() > 0, parameter_name
