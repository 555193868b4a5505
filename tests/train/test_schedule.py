"""Schedules and budgets are pure functions with known values."""

from __future__ import annotations

import math

import pytest

from seqvae.errors import UserError
from seqvae.train.optim import Constant, Cosine, Decay, Exponential, Ramp
from seqvae.train.stages import Budget


def test_cosine_falls_from_one_to_its_end_after_a_linear_rise():
    cosine = Cosine(final=0.2, warmup=10)
    assert [cosine(step, 0.0) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [cosine(100, p) for p in (0.5, 1.0, 1.5)] == pytest.approx([0.6, 0.2, 0.2])


def test_exponential_falls_by_equal_factors():
    exponential = Exponential(final=0.01)
    assert [exponential(0, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.1, 0.01])


def test_decay_is_the_published_one():
    decay = Decay(steps=40000, floor=0.1)
    assert decay(40000, 0.3) == pytest.approx(math.exp(-1))
    assert decay(10**6, 1.0) == 0.1


def test_constant_and_ramp():
    assert [Constant()(step, 0.7) for step in (0, 10**6)] == [1.0, 1.0]
    ramp = Ramp(start=2.0, end=4.0, begin=0.25, until=0.75)
    assert [ramp(0, p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([2, 2, 3, 4, 4])


def test_a_schedule_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="ends above 0"):
        Exponential(final=0.0)
    with pytest.raises(UserError, match="begins before it ends"):
        Ramp(0.0, 1.0, begin=0.5, until=0.5)


def test_a_budget_ends_with_whichever_bound_comes_first():
    budget = Budget(steps=100, minutes=2.0)
    assert budget.progress(50, 30.0) == 0.5
    assert budget.progress(10, 90.0) == 0.75
    assert budget.spent(100, 0.0) and budget.spent(0, 120.0) and not budget.spent(99, 119.0)
    assert budget.seconds_left(50, 30.0, seconds_per_step=0.1) == pytest.approx(5.0)
    assert budget.seconds_left(50, 30.0, seconds_per_step=10.0) == pytest.approx(90.0)


def test_steps_alone_leave_the_clock_out():
    assert Budget(steps=10).progress(5, 1e9) == 0.5


@pytest.mark.parametrize("bounds", [{}, {"steps": 0}, {"minutes": -1.0}])
def test_a_budget_without_a_bound_is_refused(bounds):
    with pytest.raises(UserError, match="trainer"):
        Budget(**bounds)
