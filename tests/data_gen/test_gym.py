"""Environments pass Gymnasium's own checker and follow the trajectories of their simulators."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.sims.avoidance import Avoidance
from data_gen.simulator import Simulator, State, Step, simulate

gymnasium = pytest.importorskip("gymnasium")
from data_gen.gym import SimulatorEnv, VectorSimulatorEnv  # noqa: E402

FEW = {"image_size": 16, "substeps": 5}


@pytest.mark.parametrize("sim", ["avoidance", "avoidance_steered", "billiards", "gravity"])
@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_gymnasium_accepts_the_environments(sim, mode):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(f"seqvae/{sim.title().replace('_', '')}-v0", render_mode=mode, **FEW)
        check_env(env.unwrapped)
        env.close()


def test_every_simulator_but_no_emulator_is_registered():
    names = {name for name in gymnasium.registry if name.startswith("seqvae/")}
    assert {"seqvae/Avoidance-v0", "seqvae/BilliardsDrift-v0", "seqvae/Billiards6-v0"} <= names
    assert not any("Pong" in name or "Atari" in name for name in names)


def actions_of(n, length):
    return np.random.default_rng(5).integers(9, size=(n, length))


def test_one_environment_follows_the_simulator():
    """It has the start of its seed, and exactly the states, frames and rewards of `simulate`."""
    env = SimulatorEnv("avoidance", image_size=16)
    actions = actions_of(1, 30)
    frame, info = env.reset(seed=3)
    start = env.simulator.reset(1, np.random.default_rng(3))
    np.testing.assert_array_equal(info["positions"], start.positions[0])
    np.testing.assert_array_equal(frame, env.simulator.render(start, 16)[0][0])
    run = simulate(env.simulator, start, 30, actions)
    frames = env.simulator.render(run.states, 16)[0]
    for t, action in enumerate(actions[0]):
        frame, reward, terminated, truncated, info = env.step(action)
        np.testing.assert_array_equal(info["positions"], run.states.positions[0, t])
        np.testing.assert_array_equal(info["velocities"], run.states.velocities[0, t])
        np.testing.assert_array_equal(frame, frames[0, t])
        assert (reward, terminated, truncated) == (run.rewards[0, t], False, False)
        assert info["collisions"] == run.collisions[0, t]
    assert run.rewards.min() == -1


def test_many_environments_follow_the_simulator():
    envs = VectorSimulatorEnv("avoidance", num_envs=7, image_size=8)
    actions = actions_of(7, 20)
    _, info = envs.reset(seed=4)
    start = envs.simulator.reset(7, np.random.default_rng(4))
    np.testing.assert_array_equal(info["positions"], start.positions)
    run = simulate(envs.simulator, start, 20, actions)
    for t in range(20):
        frames, rewards, ended, cut, info = envs.step(actions[:, t])
        assert frames in envs.observation_space and not ended.any() and not cut.any()
        np.testing.assert_array_equal(info["positions"], run.states.positions[:, t])
        np.testing.assert_array_equal(rewards, run.rewards[:, t])


def test_environments_follow_the_reference(reference):
    """Its actions, from its first recorded states, in the vectorised environment."""
    with np.load(reference / "avoidance.npz") as data:
        positions, velocities, actions = data["positions"], data["velocities"], data["action"]
        rewards = data["reward"]
    envs = VectorSimulatorEnv("avoidance", num_envs=len(positions), image_size=4)
    envs.reset(options={"state": State(positions[:, 0], velocities[:, 0])})
    for t in range(positions.shape[1] - 1):
        _, reward, *_, info = envs.step(actions[:, t])
        np.testing.assert_allclose(info["positions"], positions[:, t + 1], atol=1e-10, rtol=0)
        np.testing.assert_array_equal(reward, rewards[:, t + 1])


def test_an_episode_is_truncated_and_starts_again():
    envs = gymnasium.make_vec("seqvae/Avoidance-v0", num_envs=3, max_episode_steps=2, **FEW)
    assert isinstance(envs, VectorSimulatorEnv)
    envs.reset(seed=0)
    wait = np.zeros(3, int)
    assert not envs.step(wait)[3].any()
    _, _, _, cut, info = envs.step(wait)
    assert cut.all()
    before = info["positions"].copy()
    _, rewards, _, cut, info = envs.step(wait)
    assert not cut.any() and not rewards.any() and (info["positions"] != before).all()
    again = envs.step(wait)[4]["positions"]
    assert abs(again[:, 1:] - info["positions"][:, 1:]).max() < 0.5 and envs.step(wait)[3].all()
    env = gymnasium.make("data_gen.gym:seqvae/Avoidance-v0", max_episode_steps=2, **FEW)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(2)] == [False, True]


class Fragile(Avoidance):
    """Avoidance in which a contact of the agent ends the sequence."""

    def step(self, state, actions=None):
        step = super().step(state, actions)
        return Step(step.state, step.rewards, step.rewards < 0, step.collisions)


def test_only_sequences_that_ended_start_again():
    envs = VectorSimulatorEnv("avoidance", num_envs=2, image_size=8)
    world: Simulator = Fragile(num_balls=2)
    envs.simulator = world
    # in the first sequence the agent moves into a ball, in the second away from it
    places = np.array([[[4.0, 5.0], [6.2, 5.0]]] * 2)
    envs.reset(seed=0, options={"state": State(places, np.zeros((2, 2, 2)))})
    _, rewards, ended, _, info = envs.step(np.array([1, 4]))
    assert rewards.tolist() == [-1.0, 0.0] and ended.tolist() == [True, False]
    before = info["positions"].copy()
    _, rewards, ended, _, info = envs.step(np.array([1, 4]))
    assert rewards.tolist() == [0.0, 0.0] and not ended.any()
    drawn = world.reset(1, np.random.default_rng(0)).positions[0]
    np.testing.assert_array_equal(info["positions"][0], drawn)
    np.testing.assert_allclose(info["positions"][1], before[1] + [[-0.6, 0.0], [0.0, 0.0]], atol=1e-12)


def test_render_modes():
    env = SimulatorEnv("billiards", render_mode="ansi", num_balls=2, radius=0.5)
    assert env.simulator.num_balls == 2 and env.action_space.n == 1
    places = np.array([[[5.0, 5.0], [9.9, 0.1]]])
    env.reset(options={"state": State(places, np.zeros((1, 2, 2)))})
    lines = env.render().splitlines()
    assert len(lines) == 16 and lines[8][16] == "0" and lines[0][31] == "1"
    assert env.render().count(".") == 16 * 32 - 2
    envs = VectorSimulatorEnv("billiards", num_envs=2, render_mode="rgb_array")
    envs.reset(seed=0)
    first, second = envs.render()
    assert first.shape == (256, 256, 3) and first.any() and (first != second).any()


BAD = {
    "sim": ({"sim": "biliards"}, "no such simulator"),
    "field": ({"sim": "avoidance", "num_bals": 3}, "sim.num_bals: unknown"),
    "size": ({"sim": "avoidance", "image_size": 0}, "image_size=0"),
    "emulator": ({"sim": "pong"}, "ale-py"),
    "mode": ({"sim": "avoidance", "render_mode": "human"}, "render_mode=human"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("kind", [SimulatorEnv, VectorSimulatorEnv])
def test_impossible_options_are_refused(kind, arguments, words):
    with pytest.raises(DataError, match=words):
        kind(**arguments)


def test_without_gymnasium_the_extra_is_named():
    program = "import sys; sys.modules['gymnasium'] = None; import data_gen.gym"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'seqvae[gym]'" in done.stderr.splitlines()[-1]


def test_nothing_else_needs_gymnasium():
    program = "import sys; sys.modules['gymnasium'] = None; import data_gen.generate, data_gen.sims.avoidance"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
