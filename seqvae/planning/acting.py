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
from seqvae.planning.learned import ModelWorld
from seqvae.planning.planner import Planner
from seqvae.planning.simulated import SimulatorWorld, as_tensors
from seqvae.planning.world import World, follow, select
from seqvae.streams import Stream, generator
from seqvae.tree import map_record, short_repr


@dataclass(frozen=True)
class Starts:
    """Where b environments stand after some frames, in which the simulator's own policy acted.

    state: true states after the last frame
    frames: uint8
    prev_actions: that led to each frame, "b t" or "b t a"
    """

    __repr__ = short_repr

    state: dict[str, Tensor]
    frames: UInt8[np.ndarray, "b t h w 3"]
    prev_actions: Tensor


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


def sample_starts(truth: SimulatorWorld, n: int, context: int, size: int, seed: int) -> Starts:
    """Sample environments, with `context` frames of `size` pixels an edge."""
    rng = generator(Stream.PLANNING, seed, 0, 0)
    simulator = truth.simulator
    begin = simulator.reset(n, rng)
    actions = simulator.sample_actions(n, context, rng)
    run = simulate(simulator, begin, context, actions)
    last = as_tensors(run.states)
    return Starts(
        map_record(lambda x: x[:, -1].contiguous(), last),
        simulator.render(run.states, size)[0],
        torch.from_numpy(np.ascontiguousarray(actions)),
    )


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
    n, size = len(starts.frames), starts.frames.shape[2]
    rng = [generator(Stream.PLANNING, seed, i, 1) for i in range(n)]
    now, few = starts.state, torch.arange(min(shown, n))
    state: Any = now if view is None else _seen(view, starts.frames, starts.prev_actions, None)
    rewards, frames, lines = [], [starts.frames[: len(few), -1]], []
    alive, plan, clock = np.ones(n, np.float32), None, _Clock()
    for _ in track(range(steps), "moves"):
        with clock, torch.no_grad():
            plan = planner(world, state, rng, plan)
        if len(few):
            lines.append(_places(world, select(state, few), plan.actions[: len(few)]))
        action = plan.action.cpu()
        step = truth.step(now, action)
        now = step.state
        rewards.append(alive * step.reward.numpy())
        alive = alive * (1 - step.end.numpy())
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


class _Clock:
    """Adds up the time that its contexts take."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self.began[0]
        self.cpu += time.process_time() - self.began[1]
