"""Edge cases: batches of one or two, several backgrounds, missing frames, chains of objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from seqvae import metrics
from seqvae.build import DataSpec, build
from seqvae.distributions import CountedNormal, Normal, stopping
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.matching import assign, track
from seqvae.objectives import _mean_of_others
from seqvae.posteriors.air_posterior import AIRPosterior
from seqvae.prediction import add_prediction
from seqvae.types import Encoding, Terms, Transition
from tests.laws.common import F64
from tests.models import config, make


def test_the_mean_of_the_other_sequences_of_a_batch():
    x = torch.randn(4, 3, dtype=F64)
    for n in (2, 3, 4):
        expected = torch.stack([torch.cat([x[:i], x[i + 1 : n]]).mean(0) for i in range(n)])
        assert_close(_mean_of_others(x[:n]), expected)
    assert (_mean_of_others(x[:1]) == 0).all()


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_several_backgrounds_keep_their_places(kept):
    cost = torch.rand(10, 5, 5)
    order = assign(cost, kept)
    assert torch.equal(order[:, :kept], torch.arange(kept).expand(10, -1))
    assert torch.equal(order[:, kept:] - kept, assign(cost[:, kept:, kept:]))
    assert torch.equal(track(torch.rand(3, 4, 5, 2), kept)[..., :kept], torch.arange(kept).expand(3, 4, -1))


def test_a_rollout_s_term_is_0_where_a_frame_was_not_observed():
    terms = Terms({"bound": torch.ones(2, 2)})
    observed = torch.tensor([[True, False, True], [False, True, True]])
    joined = add_prediction(terms, torch.full((2, 3), -5.0), 2, 0.5, observed)
    assert joined.values["rollout"].tolist() == [[0, 0, -5, 0, -5], [0, 0, 0, -5, -5]]
    assert joined.defined["rollout"].tolist() == [
        [False, False, True, False, True],
        [False, False, False, True, True],
    ]
    assert joined.values["bound"].tolist() == [[1, 1, 0, 0, 0]] * 2 and joined.weights == {"rollout": 0.5}


def test_missing_frames_give_a_count_finite_gradients():
    layout = StateLayout((Field("presence", 1, "frame"), Field("position", 2, "frame")))
    mean, precision = (torch.randn(2, 3, 3, dtype=F64).square().requires_grad_() for _ in (0, 1))
    given = precision * torch.tensor([1.0, 0.0], dtype=F64)[:, None, None]  # the second frame is missing
    inner = Normal(torch.randn(2, 3, 2, dtype=F64), torch.rand(2, 3, 2, dtype=F64) + 0.1)
    p = CountedNormal(stopping(torch.randn(2, 3, dtype=F64)), inner)
    q, _, _ = AIRPosterior(layout)(Encoding(mean, given), Transition(p, p), None)
    (q.inner.mean.sum() + q.inner.std.sum() + q.log_counts.sum()).backward()
    assert mean.grad.isfinite().all() and precision.grad.isfinite().all()
    assert (mean.grad[1] == 0).all() and (precision.grad[1] == 0).all()


def test_counted_slots_are_refused_where_they_would_be_followed_over_time():
    assert AIRPosterior.keeps_frame_order and AIRPosterior.has_presence
    chosen = config("air")
    chosen["dynamics"] = {"_target_": "seqvae.dynamics.gru.GRUDynamics"}
    with pytest.raises(UserError):
        build(chosen, DataSpec(16, 16, 1, objects=2))


def test_a_file_of_weights_holds_weights_and_the_random_structure_of_sum_product_networks():
    for name in ("stove", "monet_sequence", "air", "linear", "vrnn"):
        model = make(name)
        others = set(model.state_dict()) - {key for key, _ in model.named_parameters()}
        spns = [spn for spn in ("objects", "background") if hasattr(model.frame, spn)]
        assert others == {f"frame.{spn}.member" for spn in spns}


def test_distinct_objects_are_linked_through_chains_in_any_batch():
    """Seven objects in a row, each near the next one alone, are one object, in a batch of one and of many."""
    row = np.stack([0.1 * np.arange(7) - 0.3, np.zeros(7)], -1)
    spread = np.stack([0.25 * np.arange(7) - 0.8, np.zeros(7)], -1)
    for n in (1, 9):
        assert metrics.distinct_objects(np.tile(row, (n, 1, 1)), 0.11).tolist() == [1] * n
        assert metrics.distinct_objects(np.tile(spread, (n, 1, 1)), 0.11).tolist() == [7] * n


def test_a_swap_needs_an_object_that_stayed():
    truth = np.tile(np.array([[-0.5, 0.0], [0.5, 0.0]]), (1, 8, 1, 1))
    slots = truth.copy()
    slots[0, 5:] = slots[0, 5:, ::-1]
    only_early = np.zeros((1, 8, 2), bool)
    only_early[0, :5] = True
    assert metrics.identity_switch(slots, truth).tolist() == [True]
    assert metrics.identity_switch(slots, truth, only_early).tolist() == [False]
    assert metrics.identity_switch(slots, truth, ~only_early).tolist() == [False]
