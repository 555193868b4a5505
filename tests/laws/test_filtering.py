"""Laws of filtering and imagining that most shipped models obey; those of all are in seqvae/contracts."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from seqvae.contracts.models import assert_same, objects_in_order
from seqvae.tree import map_record
from tests.laws.common import F64
from tests.models import FOLLOWING, MODELS, every_model, make, video

every_model_of_objects = pytest.mark.parametrize("name", FOLLOWING)


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


@every_model_of_objects
def test_dynamics_are_equivariant_to_the_order_of_slots(name):
    model, clip = make(name, dtype=F64), video(frames=3, dtype=F64)
    carry = model.filter(clip, sample=True).carry.dynamics
    permutation = objects_in_order(model, [2, 0, 1])
    renumbered = model.dynamics.predict(map_record(lambda x: x[:, permutation], carry), None)
    expected = map_record(lambda x: x[:, permutation], model.dynamics.predict(carry, None))
    assert_same(renumbered, expected)
