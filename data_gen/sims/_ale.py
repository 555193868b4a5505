"""Atari 2600 games of the Arcade Learning Environment, from the package ale-py, and their frames resized.

Source: Bellemare et al. 2013, "The Arcade Learning Environment", arXiv 1207.4708.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np

from data_gen.errors import DataError

ROWS, COLUMNS = 210, 160  # of the screen


@lru_cache(maxsize=1)
def open_game(game: str) -> Any:
    """Return the emulator (ale_py.ALEInterface) with this game, one per process; `reset_game` restarts it.

    It is deterministic: a game is determined by the actions since its reset.

    Raises:
        DataError: ale-py is not installed, or has no such game.
    """
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise DataError(f"Atari games need ale-py ({error}); pip install 'seqvae[atari]'") from None
    games = sorted(roms.get_all_rom_ids())
    if game not in games:
        suggestions = get_close_matches(str(game), games) or games[:8]
        raise DataError(f"sim.game={game}: there is no such game; did you mean {', '.join(suggestions)}")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 0)
    emulator.setFloat("repeat_action_probability", 0.0)
    emulator.loadROM(str(roms.get_rom_path(game)))
    return emulator


def area_average(frames: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 "n h w c" to "n size size c": the mean over each new pixel's area, rounded half up."""
    rows, columns = (_area_weights(old_size, size) for old_size in frames.shape[1:3])
    narrow = np.einsum("xw,nhwc->nhxc", columns, frames.astype(np.float32), optimize=True)
    small = np.einsum("yh,nhxc->nyxc", rows, narrow, optimize=True)
    return np.minimum(small + 0.5, 255).astype(np.uint8, order="C")


def _area_weights(old_size: int, new_size: int) -> np.ndarray:
    """Return the share of each new pixel that lies on each old one, float32 "new old"; rows sum to 1."""
    edges = np.arange(new_size + 1)[:, None] * (old_size / new_size)
    pixels = np.arange(old_size)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.maximum(overlap, 0) * (new_size / old_size)).astype(np.float32)
