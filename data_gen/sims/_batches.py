"""Rendering of many states in batches of frames that fit into a cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_gen.simulator import State

BATCH = 64  # frames drawn at once: their planes then fit into a core's second-level cache


def render_batches(
    states: State,
    size: int,
    draw: Callable[[State, np.ndarray, np.ndarray], None],
    batch: int = BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """Render states "... k 2": frames uint8 "... size size 3" and masks uint8 "... size size".

    draw: takes m states, and writes their frames "m size size 3" and masks "m size size", which are 0 before.
    batch: the largest m
    """
    leading = states.positions.shape[:-2]
    flat = states.map(lambda array: array.reshape(-1, *array.shape[len(leading) :]))
    frames = np.empty((len(flat.positions), size, size, 3), np.uint8)
    masks = np.zeros((len(flat.positions), size, size), np.uint8)
    for start in range(0, len(frames), batch):
        chosen = slice(start, start + batch)
        draw(flat.map(lambda array, chosen=chosen: array[chosen]), frames[chosen], masks[chosen])
    return frames.reshape(*leading, *frames.shape[1:]), masks.reshape(*leading, *masks.shape[1:])
