"""A planner acts in simulated environments, on the truth or on what a model makes of frames."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from data_gen.simulator import simulate
from seqvae.data.conversion import to_video
from seqvae.errors import UserError
from seqvae.io import track
from seqvae.planning.goals import GoalWorld, OnTheWay, distance
from seqvae.planning.learned import ModelWorld
from seqvae.planning.planner import Planner
from seqvae.planning.simulated import SimulatorWorld, as_tensors
from seqvae.planning.world import World, follow, select
from seqvae.streams import Stream, generator
from seqvae.tree import map_record, short_repr

GOAL_FIELDS = ("position",)


@dataclass(frozen=True)
class Starts:
    """Where b environments stand after some frames, in which the simulator's own policy acted.

    state: true states after the last frame
    frames: uint8
    prev_actions: that led to each frame, "b t" or "b t a"
    goal: where the environments are to be brought, None without a goal
    """

    __repr__ = short_repr

    state: dict[str, Tensor]
    frames: UInt8[np.ndarray, "b t h w 3"]
    prev_actions: Tensor
    goal: Goal | None = None


@dataclass(frozen=True)
class Goal:
    """Where the simulator's own policy would have brought b environments.

    state: true states there
    frame: what is seen of them, uint8
    prev_action: the action that led there
    near: distance of the true positions within which a goal is reached, half-widths
    """

    __repr__ = short_repr

    state: dict[str, Tensor]
    frame: UInt8[np.ndarray, "b h w 3"]
    prev_action: Tensor
    near: float


@dataclass(frozen=True)
class Acted:
    """What came of the moves of a planner in b environments.

    rewards: of each move; 0 after the end of an episode
    wall_seconds, cpu_seconds: that planning took, in sum
    frames: true ones of the n environments that are shown, the last one of the start and one after each move
    lines: before each move the places of objects, now and after each of the planned actions, half-widths; NaN
        where they are not known
    """

    __repr__ = short_repr

    rewards: Float[np.ndarray, "b t"]
    wall_seconds: float
    cpu_seconds: float
    frames: UInt8[np.ndarray, "n f h w 3"]
    lines: Float[np.ndarray, "n t l k 2"]

    @property
    def returns(self) -> Float[np.ndarray, "b"]:
        """Sum of the rewards of each environment."""
        return self.rewards.sum(1, dtype=np.float64)


def sample_starts(
    truth: SimulatorWorld,
    n: int,
    context: int,
    size: int,
    seed: int,
    ahead: int | None = None,
    near: float = 0.1,
) -> Starts:
    """Sample environments, with `context` frames of `size` pixels an edge.

    ahead: frames after these in which the policy acts on, to the goal; None for no goal
    near: see Goal
    """
    rng = generator(Stream.PLANNING, seed, 0, 0)
    simulator, length = truth.simulator, context + (ahead or 0)
    begin = simulator.reset(n, rng)
    actions = simulator.sample_actions(n, length, rng)
    run = simulate(simulator, begin, length, actions)
    states, led = as_tensors(run.states), torch.from_numpy(np.ascontiguousarray(actions))

    def at(t: int) -> dict[str, Tensor]:
        return map_record(lambda x: x[:, t].contiguous(), states)

    frames = simulator.render(run.states, size)[0]
    goal = None if ahead is None else Goal(at(-1), frames[:, -1], led[:, -1], near)
    return Starts(at(context - 1), frames[:, :context], led[:, :context], goal)


def act(
    planner: Planner,
    truth: SimulatorWorld,
    starts: Starts,
    steps: int,
    seed: int,
    view: ModelWorld | None = None,
    shown: int = 0,
) -> Acted:
    """Let a planner make `steps` moves in every environment.

    With a goal a planner is given distances in place of rewards (GoalWorld), the move that reaches the goal
    has the reward 1, all others 0, and the episode ends with it.

    view: the model in which it plans, which filters the true frames as they come; None: it plans on the truth
    shown: number of environments, the first ones, of which frames and lines are kept

    Raises:
        UserError: the planner cannot search these actions, or the model follows other ones.
    """
    world: World = truth if view is None else view
    planner.require_actions(truth.actions)
    if view is not None and view.actions.count != truth.actions.count:
        raise UserError(
            f"sim: this world takes {truth.actions}, and the model follows {view.actions}; take the world of "
            "the data that it was trained on"
        )
    n, size, goal = len(starts.frames), starts.frames.shape[2], starts.goal
    rng = [generator(Stream.PLANNING, seed, i, 1) for i in range(n)]
    now, few = starts.state, torch.arange(min(shown, n))
    state: Any = now if view is None else _seen(view, starts.frames, starts.prev_actions, None)
    towards = None if goal is None else _Towards.of(goal, world, truth, view)
    rewards, frames, lines = [], [starts.frames[: len(few), -1]], []
    alive, plan, clock = np.ones(n, np.float32), None, _Clock()
    for _ in track(range(steps), "moves"):
        with clock, torch.no_grad():
            if towards is None:
                plan = planner(world, state, rng, plan)
            else:
                plan = planner(towards.world, OnTheWay(state, towards.place), rng, plan)
        if len(few):
            lines.append(_places(world, select(state, few), plan.actions[: len(few)]))
        action = plan.action.cpu()
        step = truth.step(now, action)
        now = step.state
        reward, end = step.reward.numpy(), step.end.numpy()
        if towards is not None:
            reward = towards.reached(now)
            end = np.maximum(end, reward)
        rewards.append(alive * reward)
        alive = alive * (1 - end)
        if view is None:
            state = now
            frames.append(truth.frames(select(now, few), size))
        else:
            seen = truth.frames(now, size)
            frames.append(seen[: len(few)])
            state = _seen(view, seen[:, None], action[:, None], state)
    return Acted(
        np.stack(rewards, 1),
        clock.wall,
        clock.cpu,
        np.stack(frames, 1),
        np.stack(lines, 1) if lines else np.zeros((0, steps, 1, 0, 2)),
    )


def _seen(view: ModelWorld, frames: np.ndarray, prev_actions: Tensor, state: Any) -> Any:
    """Filter new frames "b t h w 3"."""
    device = next(view.model.parameters()).device
    with torch.no_grad():
        return view.filter(to_video(torch.from_numpy(frames).to(device)), prev_actions.to(device), state)


def _places(world: World, state: Any, actions: Tensor) -> Float[np.ndarray, "b l k 2"]:
    """Return where objects are, and where they will be along a line of actions."""
    with torch.no_grad():
        states = (state, *follow(world, state, actions).states)
    places = [world.positions(s) for s in states]
    if places[0] is None:
        return np.full((len(actions), len(states), 1, 2), np.nan)
    return np.stack([place for place in places if place is not None], 1)


@dataclass(frozen=True)
class _Towards:
    """A goal as planner and truth see it.

    world: that the planner steps
    place: positions of the goal's objects in it
    true_place: their true ones
    """

    world: GoalWorld
    place: Tensor
    true_place: Tensor
    truth: SimulatorWorld
    near: float

    @classmethod
    def of(cls, goal: Goal, world: World, truth: SimulatorWorld, view: ModelWorld | None) -> _Towards:
        """Filter the frame of the goal, where a model plans."""
        seen: Any = goal.state
        if view is not None:
            seen = _seen(view, goal.frame[:, None], goal.prev_action[:, None], None)
        place, true_place = world.fields(seen, GOAL_FIELDS), truth.fields(goal.state, GOAL_FIELDS)
        return cls(GoalWorld(world, GOAL_FIELDS), place, true_place, truth, goal.near)

    def reached(self, state: dict[str, Tensor]) -> Float[np.ndarray, "b"]:
        """Return 1 where the true positions are near the goal's, else 0."""
        apart = distance(self.truth.fields(state, GOAL_FIELDS), self.true_place)
        return (apart <= self.near).float().numpy()


class _Clock:
    """Adds up the time that its contexts take."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self.began[0]
        self.cpu += time.process_time() - self.began[1]
