"""Sequences in blocks: block b of split s is seeded by SeedSequence(seed, s, b) and by nothing else.

So a dataset holds the same arrays whatever the number of processes, and a smaller one is the beginning of
a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError
from data_gen.simulator import Emulator, Simulator, State, Trajectory, simulate

BLOCK = 64
SPLITS = ("train", "val", "test")

_PATIENCE = 100  # rounds in a row in which every sequence is rejected


@dataclass(frozen=True)
class Split:
    """What determines the arrays of one dataset file.

    A simulator with a method `for_split(name)` gives the one for this split, with objects of its own.
    """

    simulator: Simulator | Emulator
    name: str
    sequences: int
    length: int
    image_size: int
    seed: int

    def __post_init__(self) -> None:
        if hasattr(self.simulator, "for_split"):
            object.__setattr__(self, "simulator", self.simulator.for_split(self.name))


def make_sequences(split: Split, start: int, stop: int) -> dict[str, np.ndarray]:
    """Sequences start ... stop - 1 of a split, as far as it goes, by the keys of the dataset.

    The blocks they lie in are simulated whole, but only they are rendered, or recorded. Raises DataError
    where the simulator rejects everything it draws.
    """
    index = SPLITS.index(split.name)
    stop = min(stop, split.sequences)
    blocks = range(start // BLOCK, -(-stop // BLOCK))
    rngs = [np.random.default_rng(np.random.SeedSequence((split.seed, index, block))) for block in blocks]
    wanted = slice(start - blocks[0] * BLOCK, stop - blocks[0] * BLOCK)
    if hasattr(split.simulator, "record"):
        seeds = np.concatenate([rng.integers(2**63, size=BLOCK) for rng in rngs])
        return split.simulator.record(seeds[wanted], split.length, split.image_size)
    trajectory = _simulate_accepted(split.simulator, split.length, rngs)
    arrays = {key: array[wanted] for key, array in _by_key(trajectory).items()}
    states = trajectory.states.map(lambda array: array[wanted])
    frames, masks = split.simulator.render(states, split.image_size)
    truth = split.simulator.truth(states)
    if masks is not None:
        truth |= {"masks": masks, **_seen(masks, split.simulator.num_objects)}
    return {"imgs": frames, **arrays, **truth}


def _seen(masks: np.ndarray, num_objects: int) -> dict[str, np.ndarray]:
    """Which objects show at least one pixel, and the numbers of those: truth from masks "n t h w"."""
    seen = np.stack([(masks == k + 1).any(axis=(2, 3)) for k in range(num_objects)], axis=-1)
    return {"in_camera": seen, "ids": np.where(seen, np.arange(1, num_objects + 1), 0)}


def _simulate_accepted(simulator: Simulator, length: int, rngs: list[np.random.Generator]) -> Trajectory:
    """BLOCK accepted sequences from each generator; all blocks run together, which is faster."""
    kept = None
    places = np.arange(BLOCK * len(rngs))  # those still to be filled
    barren = 0
    while places.size:
        counts = np.bincount(places // BLOCK, minlength=len(rngs))
        draws = [
            (simulator.reset(m, rng), simulator.sample_actions(m, length, rng))
            for m, rng in zip(counts, rngs, strict=True)
            if m
        ]
        start = _concatenate([state for state, _ in draws])
        actions = None if draws[0][1] is None else np.concatenate([a for _, a in draws])
        trial = simulate(simulator, start, length, actions)
        if kept is None:
            kept = trial
        else:
            for target, source in zip(_all_arrays(kept), _all_arrays(trial), strict=True):
                target[places] = source
        accepted = simulator.accept(trial)
        places = places[~accepted]
        barren = 0 if accepted.any() else barren + 1
        if barren == _PATIENCE:
            raise DataError(
                f"length={length}: the simulator rejects all sequences of this length; make them shorter"
            )
    return kept


def _concatenate(states: list[State]) -> State:
    arrays = [state.arrays() for state in states]
    joined = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
    return State(joined.pop("positions"), joined.pop("velocities"), joined)


def _all_arrays(trajectory: Trajectory) -> list[np.ndarray]:
    return [*_by_key(trajectory).values(), *trajectory.states.extra.values()]


def _by_key(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The arrays of a trajectory by their key in the dataset."""
    arrays = {
        "positions": trajectory.states.positions,
        "velocities": trajectory.states.velocities,
        "rewards": trajectory.rewards,
        "dones": trajectory.dones,
        "collisions": trajectory.collisions,
    }
    return arrays if trajectory.actions is None else {**arrays, "actions": trajectory.actions}
