"""Goals: distances by hand, and planners that reach them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from data_gen.sims.two_room import TwoRoom
from data_gen.simulator import State
from seqvae.planning.around_mean import CEM, MPPI
from seqvae.planning.goals import GoalWorld, distance
from seqvae.planning.simulated import SimulatorWorld, as_tensors
from tests.planning.test_planners import TreeWorld
from tests.planning.test_worlds import actions_for, begun, learned
from tests.refusals import refusal


def test_the_distance_is_that_of_the_best_assignment():
    now = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    goal = torch.tensor([[[1.0, 0.3], [0.0, 0.1]], [[0.0, 0.0], [1.0, 0.0]]])
    assert_close(distance(now, goal), torch.tensor([0.2, 0.0]))


def test_a_step_is_worth_minus_the_distance_after_it():
    world = learned("stove")
    towards, state = GoalWorld(world, ("position", "velocity")), begun(world)
    goal = world.step(state, actions_for(world, 3, 1)[:, 0]).state
    way, action = towards.start(state, goal), actions_for(world, 3, 1, seed=2)[:, 0]
    step, plain = towards.step(way, action), world.step(state, action)
    assert_close(step.state.inner.z, plain.state.z)
    layout, z = world.model.layout, [plain.state.z, goal.z]
    compared = [torch.cat([x[..., layout["position"]], x[..., layout["velocity"]]], -1) for x in z]
    assert_close(step.reward, -distance(*compared))
    assert (step.end == 0).all()
    # the very action that led to the goal leads there again
    same = towards.step(way, actions_for(world, 3, 1)[:, 0])
    assert_close(same.reward, torch.zeros(3, dtype=same.reward.dtype))


def test_fields_that_are_not_there_are_named():
    goal = begun(learned("stove"))
    assert "have no colour; they have" in refusal(GoalWorld(learned("stove"), ["colour"]).start, goal, goal)
    truth = SimulatorWorld(TwoRoom())
    state = truth.start(1, np.random.default_rng(0))
    assert "have no size; they have position, velocity" in refusal(
        GoalWorld(truth, ["size"]).start, state, state
    )
    assert "TreeWorld has no fields of objects" in refusal(GoalWorld(TreeWorld()).start, state, state)


@pytest.mark.parametrize(
    "planner", [CEM(200, 12, iterations=4), MPPI(200, 12, iterations=4, temperature=0.05)]
)
def test_planners_reach_goals_in_a_room_and_behind_the_door(planner):
    """From the left room to places in it, and from the door to the other room; within 16 pixels."""
    truth = SimulatorWorld(TwoRoom())
    towards = GoalWorld(truth)
    starts = np.array([[40.0, 150.0], [80.0, 60.0], [90.0, 49.0]])[:, None]
    goals = np.array([[75.0, 170.0], [40.0, 90.0], [135.0, 52.0]])[:, None]
    now, goal = (as_tensors(State(x, np.zeros_like(x))) for x in (starts, goals))
    rng = [np.random.default_rng([7, i]) for i in range(3)]
    plan, nearest = None, torch.full((3,), torch.inf, dtype=torch.float64)
    for _ in range(14):
        way = towards.start(now, goal)
        nearest = nearest.minimum(towards.distance(way))
        plan = planner(towards, way, rng, plan)
        now = truth.step(now, plan.action).state
    assert (nearest < 16 / 112).all()
    assert (towards.distance(towards.start(as_tensors(State(starts, 0 * starts)), goal)) > 16 / 112).all()
