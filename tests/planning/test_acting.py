"""Acting: what the planner is given, and what comes of its moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from data_gen.sims.avoidance import Avoidance, SteeredAvoidance
from data_gen.sims.two_room import TwoRoom
from data_gen.simulator import simulate
from seqvae.build import build
from seqvae.data.conversion import to_video
from seqvae.evaluate.acted import ActingScores
from seqvae.planning.acting import act, sample_starts
from seqvae.planning.goals import GoalWorld
from seqvae.planning.learned import ModelWorld
from seqvae.planning.mcts import MCTS
from seqvae.planning.planner import Plan, Planner, RandomActions
from seqvae.planning.simulated import SimulatorWorld, as_state
from seqvae.streams import Stream, generator
from seqvae.tree import map_record
from seqvae.types import DataSpec
from seqvae.video.plans import PlanVideo
from tests.models import config
from tests.planning.test_worlds import leaves, outcome
from tests.refusals import refusal

SIZE, STEPS, N = 16, 6, 5


class Recorder(Planner):
    """Moves at random, and keeps what it was given."""

    def __init__(self):
        super().__init__(1, 2)
        self.states, self.previous, self.actions = [], [], []

    def __call__(self, world, state, rng, previous=None):
        self.states.append(map_record(torch.clone, state))
        self.previous.append(previous)
        drawn = np.stack([g.integers(world.actions.count, size=2) for g in rng])
        plan = Plan(torch.from_numpy(drawn), torch.zeros(len(rng)))
        self.actions.append(plan.action)
        return plan


def viewer():
    torch.manual_seed(0)
    return ModelWorld(build(config("stove"), DataSpec(SIZE, SIZE, 3, 9, 3)).requires_grad_(False), outcome)


def test_the_truth_goes_on_as_the_simulator_does_and_the_planner_sees_it():
    planner, truth = Recorder(), SimulatorWorld(Avoidance())
    starts = sample_starts(truth, N, 4, SIZE, seed=3)
    acted = act(planner, truth, starts, STEPS, seed=1, shown=2)
    run = simulate(truth.simulator, as_state(starts.state), STEPS, torch.stack(planner.actions, 1).numpy())
    np.testing.assert_array_equal(acted.rewards, run.rewards)
    np.testing.assert_array_equal(acted.returns, run.rewards.sum(1))
    np.testing.assert_array_equal(acted.frames[:, 1:], truth.simulator.render(run.states, SIZE)[0][:2])
    np.testing.assert_array_equal(acted.frames[:, 0], starts.frames[:2, -1])
    for t, state in enumerate(planner.states[1:]):
        np.testing.assert_array_equal(state["positions"], run.states.positions[:, t])
    assert planner.previous[0] is None
    assert all(torch.equal(p.action, a) for p, a in zip(planner.previous[1:], planner.actions, strict=False))
    # the line of a plan begins where objects are, and its first step is the move that was made
    places = run.states.positions / 5 - 1
    assert acted.lines.shape == (2, STEPS, 3, 3, 2)
    np.testing.assert_allclose(acted.lines[:, :, 1], places[:2])
    np.testing.assert_allclose(acted.lines[:, 1:, 0], places[:2, :-1])


def test_a_model_sees_the_frames_and_the_actions_that_led_to_them():
    """State by state as when all frames are filtered in one go, and nothing of the truth."""
    planner, truth, view = Recorder(), SimulatorWorld(Avoidance()), viewer()
    starts = sample_starts(truth, N, 4, SIZE, seed=3)
    acted = act(planner, truth, starts, STEPS, seed=1, view=view, shown=N)
    frames = np.concatenate([starts.frames, acted.frames[:, 1:]], 1)
    led = torch.cat([starts.prev_actions, torch.stack(planner.actions, 1)], 1)
    for t, state in enumerate(planner.states):
        whole = view.filter(to_video(frames[:, : 4 + t]), led[:, : 4 + t])
        assert_close(leaves(state), leaves(whole), rtol=1e-3, atol=1e-4)


def test_starts_are_those_of_the_simulators_own_data():
    """An action leads to every frame, also to the first one."""
    truth = SimulatorWorld(Avoidance())
    starts = sample_starts(truth, 40, 5, SIZE, seed=0)
    again, other = (sample_starts(truth, 40, 5, SIZE, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(starts.frames, again.frames)
    assert torch.equal(starts.prev_actions, again.prev_actions)
    assert not torch.equal(starts.state["positions"], other.state["positions"])
    np.testing.assert_array_equal(truth.frames(starts.state, SIZE), starts.frames[:, -1])
    # the agent is as fast as the last action says, unless it has just touched a ball
    speed = 0.6 * torch.from_numpy(truth.simulator.direction(starts.prev_actions[:, -1].numpy()))
    moved = starts.state["velocities"][:, 0]
    assert ((moved.abs() - speed.abs()).abs().amax(1) < 1e-12).sum() > 30


class Ending(SteeredAvoidance):
    """Every second step of an episode ends it, and each is punished."""

    def step(self, state, actions=None):
        step = super().step(state, actions)
        count = state.extra["count"] + 1
        new = type(state)(step.state.positions, step.state.velocities, state.extra | {"count": count})
        return type(step)(new, -np.ones(len(count), np.float32), count >= 2, step.collisions)

    def reset(self, n, rng):
        state = super().reset(n, rng)
        return type(state)(state.positions, state.velocities, state.extra | {"count": np.zeros(n)})


def test_nothing_counts_after_the_end_of_an_episode():
    truth = SimulatorWorld(Ending())
    starts = sample_starts(truth, 2, 1, SIZE, seed=0)
    acted = act(RandomActions(1, 1), truth, starts, 4, seed=0)
    assert acted.rewards.tolist() == [[-1, 0, 0, 0]] * 2


def test_a_goal_is_where_the_policy_leads_and_reaching_it_ends_the_episode():
    """With the policy's own actions it is reached after as many moves, and not before it is near."""
    truth = SimulatorWorld(TwoRoom())
    ahead = 6
    starts, whole = (sample_starts(truth, N, 3, SIZE, 0, a, near=0.01) for a in (ahead, None))
    assert whole.goal is None and starts.goal is not None
    rng = generator(Stream.PLANNING, 0, 0, 0)
    begin = truth.simulator.reset(N, rng)
    actions = truth.simulator.sample_actions(N, 3 + ahead, rng)
    run = simulate(truth.simulator, begin, 3 + ahead, actions)
    np.testing.assert_array_equal(starts.state["positions"], run.states.positions[:, 2])
    np.testing.assert_array_equal(starts.goal.state["positions"], run.states.positions[:, -1])
    np.testing.assert_array_equal(starts.goal.frame, truth.frames(starts.goal.state, SIZE))
    assert starts.frames.shape[1] == starts.prev_actions.shape[1] == 3

    class Policy(Planner):
        moves = 0

        def __call__(self, world, state, rng, previous=None):
            assert isinstance(world, GoalWorld)
            move = torch.from_numpy(actions[:, 3 + self.moves : 4 + self.moves])
            self.moves += 1
            return Plan(move, torch.zeros(N))

    acted = act(Policy(1, 1), truth, starts, ahead, seed=0)
    apart = np.linalg.norm(run.states.positions[:, 3:, 0] - run.states.positions[:, -1:, 0], axis=-1) / 112
    first = (apart <= 0.01).argmax(1)
    np.testing.assert_array_equal(acted.rewards, np.arange(ahead) == first[:, None])


def test_a_planner_of_other_actions_is_refused():
    steered = SimulatorWorld(SteeredAvoidance())
    starts = sample_starts(steered, 2, 3, SIZE, seed=0)
    assert "MCTS searches numbered actions" in refusal(act, MCTS(2, 2), steered, starts, 1, 0)
    assert "follows 9 actions; take the world" in refusal(
        act, RandomActions(1, 1), steered, starts, 1, 0, viewer()
    )


def test_mcts_on_the_truth_beats_random_actions():
    """20 environments of 20 moves: far fewer collisions, by more than three standard errors."""
    truth = SimulatorWorld(Avoidance())
    starts = sample_starts(truth, 20, 2, SIZE, seed=0)
    planned = act(MCTS(12, 4), truth, starts, 20, seed=0).returns
    floor = act(RandomActions(1, 1), truth, starts, 20, seed=0).returns
    better = planned - floor
    assert better.mean() > 3 * better.std(ddof=1) / np.sqrt(20)


def test_scores_by_hand():
    returns = {
        "mcts model": np.array([-1.0, 0.0, 0.0, -1.0]),
        "random": np.array([-4.0, -2.0, -3.0, -3.0]),
        "mcts simulator": np.array([0.0, 0.0, 0.0, 0.0]),
    }
    scores = ActingScores("mcts model", returns, 400, 20.0, 10.0, "mcts simulator")
    values = scores.values()
    assert values["return"].mean == -0.5 and values["return"].n == 4
    assert values["return_above_random"].mean == 2.5
    assert values["return_above_random"].se == pytest.approx(np.std([3, 2, 3, 2], ddof=1) / 2)
    assert values["share_of_gap"].mean == pytest.approx(2.5 / 3)
    assert scores.moves_per_second == {"wall": 20.0, "cpu": 40.0}
    page = scores.markdown()
    assert "| mcts model     | -0.5000 ± 0.2887 |" in page and "40.0" in page
    assert scores.as_dict()["returns"]["random"] == [-4, -2, -3, -3]


def test_the_video_shows_lines_and_punishments():
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    lines = np.full((2, 4, 2, 2), np.nan)
    lines[0, :, 0] = np.linspace((-0.5, -0.5), (0.5, 0.5), 4)
    video = PlanVideo(frames, lines, np.array([-1.0, 0.0]), "mcts")
    assert len(video) == 3
    first, second, third = (video[t].astype(int) for t in range(3))
    middle = first[first.shape[0] // 2 - 20 : first.shape[0] // 2 + 30, 60:200]
    assert (middle.sum(-1) > 0).any() and not np.array_equal(first, third)
    assert (second[0, 0] != first[0, 0]).any() and (third[0, 0] == first[0, 0]).all()
