"""Simulators and models as worlds: pure, independent environments, and equal to what they wrap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from data_gen.cli.command import CONFIGS
from data_gen.generate import read_settings
from data_gen.sims.avoidance import Avoidance, SteeredAvoidance
from data_gen.sims.billiards import Billiards
from data_gen.simulator import build_simulator, simulate
from seqvae.build import build
from seqvae.planning.learned import ModelWorld
from seqvae.planning.simulated import SimulatorWorld, as_state, as_tensors
from seqvae.planning.world import follow, repeat, returns, select
from seqvae.tree import map_record
from seqvae.types import DataSpec
from tests.models import SHIPPED, class_of, config, perturbed, video
from tests.refusals import refusal

SIZE, ACTIONS = 16, 9
IGNORANT = ("LinearDynamics", "StandardNormal", "AIRPrior")
FOLLOWING = [name for name in SHIPPED if class_of("dynamics", name) not in IGNORANT]


def simulated(name):
    return SimulatorWorld(build_simulator(read_settings([f"sim={name}"]).sim))


ACTING = [file.stem for file in sorted((CONFIGS / "sim").glob("avoidance*.yaml"))]


def actions_for(world, n, length, seed=0):
    rng, space = np.random.default_rng(seed), world.actions
    if space.size:
        return torch.from_numpy(rng.uniform(space.low, space.high, (n, length, space.size)).astype("f4"))
    return torch.from_numpy(rng.integers(space.count, size=(n, length)))


def outcome(before, action, after):
    """A made-up reward of the state before, the action and the state after."""
    reward = (after - before).square().sum((1, 2)) + action
    return reward, (0.01 * reward).clamp(0, 1)


def learned(name):
    torch.manual_seed(0)
    model = perturbed(build(config(name), DataSpec(SIZE, SIZE, 3, ACTIONS, 3))).double()
    return ModelWorld(model.requires_grad_(False), outcome)


def begun(world, n=3):
    clip = video(frames=4, batch=n, height=SIZE, width=SIZE, channels=3, dtype=torch.float64)
    return world.filter(clip, actions_for(world, n, 4, seed=1))


WORLDS = {f"sim {name}": lambda name=name: simulated(name) for name in ACTING}
WORLDS |= {f"model {name}": lambda name=name: learned(name) for name in FOLLOWING}


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_pure_and_its_environments_are_independent(name):
    world = WORLDS[name]()
    exact = isinstance(world, SimulatorWorld)
    state = world.start(3, np.random.default_rng(0)) if exact else begun(world)
    kept, action = map_record(torch.clone, state), actions_for(world, 3, 1)[:, 0]
    steps = [world.step(state, action) for _ in range(2)]
    assert_close(*[leaves(s) for s in (state, kept)], rtol=0, atol=0)
    assert_close(*[leaves(s) for s in steps], rtol=0, atol=0)
    # one environment alone, and repeated: to the bit in a simulator, else up to the rounding of a product
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-9, "atol": 1e-9}
    one = torch.tensor([2])
    alone = world.step(select(state, one), action[one])
    assert_close(leaves(alone), leaves(select(steps[0], one)), **tolerance)
    twice = world.step(repeat(state, 2), action.repeat_interleave(2, 0))
    assert_close(leaves(twice), leaves(repeat(steps[0], 2)), **tolerance)
    assert steps[0].reward.shape == steps[0].end.shape == (3,)
    assert ((steps[0].end >= 0) & (steps[0].end <= 1)).all()


def leaves(record):
    found = []
    map_record(lambda x: found.append(x) or x, record)
    assert found
    return found


@pytest.mark.parametrize("simulator", [Avoidance(num_balls=5), SteeredAvoidance(num_balls=5)], ids=str)
def test_a_line_in_a_simulator_is_its_trajectory(simulator):
    world = SimulatorWorld(simulator)
    state, actions = world.start(20, np.random.default_rng(3)), actions_for(world, 20, 15)
    line = follow(world, state, actions)
    run = simulate(simulator, as_state(state), 15, actions.numpy())
    np.testing.assert_array_equal(line.rewards, run.rewards)
    np.testing.assert_array_equal(line.ends, run.dones)
    assert (run.rewards < 0).any() and line.rewards.dtype == torch.float32
    for t, after in enumerate(line.states):
        np.testing.assert_array_equal(after["positions"], run.states.positions[:, t])
    last = line.states[-1]
    np.testing.assert_array_equal(world.frames(last, 8), simulator.render(run.states, 8)[0][:, -1])
    np.testing.assert_allclose(world.positions(last), run.states.positions[:, -1] / 5 - 1)


def test_sampled_sizes_travel_with_the_states():
    world = SimulatorWorld(Avoidance(radius={"min": 0.5, "max": 1.0}))
    state = world.start(4, np.random.default_rng(0))
    assert state.keys() == {"positions", "velocities", "sizes"}
    again = as_tensors(as_state(state))
    assert all(torch.equal(state[key], again[key]) for key in state)


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_line_in_a_model_is_its_imagination(name):
    """Step by step as in one go, with the outcome of each state before, action and state after."""
    world = learned(name)
    state, actions = begun(world), actions_for(world, 3, 5)
    line, trace = follow(world, state, actions), world.model.imagine(state.carry, 5, actions)
    z = torch.cat([state.z[:, None], trace.z], 1)
    for t, after in enumerate(line.states):
        assert_close(after.z, trace.z[:, t])
        reward, end = outcome(z[:, t], actions[:, t], z[:, t + 1])
        assert_close(line.rewards[:, t], reward)
        assert_close(line.ends[:, t], end)
    positions, last = world.model.positions(trace.z), line.states[-1]
    if positions is None:
        assert world.positions(last) is None
    else:
        first = world.model.background_slots
        np.testing.assert_allclose(world.positions(last), positions[:, -1, first:])


def test_frames_are_filtered_as_they_come():
    world = learned("stove")
    clip = video(frames=6, batch=2, height=SIZE, width=SIZE, channels=3, dtype=torch.float64)
    led = actions_for(world, 2, 6)
    whole, state = world.filter(clip, led), None
    for t in range(6):
        state = world.filter(clip[:, t : t + 1], led[:, t : t + 1], state)
    assert_close(leaves(state), leaves(whole))


def test_returns_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    ends = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.0]])
    assert returns(rewards, ends, 0.5).tolist() == [1 + 1 + 1, 1 + 1, 1 + 0.5 * (2 + 0.25 * 4)]


def test_worlds_in_which_nobody_acts_are_refused():
    assert "nobody acts in Billiards" in refusal(SimulatorWorld, Billiards())
    pytest.importorskip("ale_py")
    pong = build_simulator(read_settings(["sim=pong"]).sim)
    assert "Pong is an emulator" in refusal(SimulatorWorld, pong)
    model = build(config("linear"), DataSpec(SIZE, SIZE, 3, ACTIONS, 3))
    assert "this one follows none" in refusal(ModelWorld, model, outcome)
