"""Atari 2600 games of the Arcade Learning Environment, which the package ale-py brings with it.

Source: Bellemare et al. 2013, "The Arcade Learning Environment", arXiv 1207.4708.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

import numpy as np

from data_gen.errors import DataError

ROWS, COLUMNS = 210, 160  # of the screen


@lru_cache(maxsize=1)
def open_game(game: str):
    """The emulator (ale_py.ALEInterface) with this game in it, one a process; `reset_game` starts anew.

    Nothing in it is left to chance: a game is determined by the actions since its reset. Raises DataError
    where ale-py is not installed, or has no such game.
    """
    try:
        import ale_py
    except ImportError as error:
        raise DataError(f"Atari games need ale-py ({error}); pip install 'seqvae[atari]'") from None
    games = sorted(ale_py.roms.get_all_rom_ids())
    if game not in games:
        near = get_close_matches(str(game), games) or games[:8]
        raise DataError(f"sim.game={game}: there is no such game; did you mean {', '.join(near)}")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 0)
    emulator.setFloat("repeat_action_probability", 0.0)
    emulator.loadROM(ale_py.roms.get_rom_path(game))
    return emulator


def area_average(frames: np.ndarray, size: int) -> np.ndarray:
    """uint8 "n h w c" -> "n size size c"; a new pixel is the mean of what it covers, rounded half up."""
    rows, columns = (_weights(old, size) for old in frames.shape[1:3])
    narrow = np.einsum("xw,nhwc->nhxc", columns, frames.astype(np.float32), optimize=True)
    small = np.einsum("yh,nhxc->nyxc", rows, narrow, optimize=True)
    return np.minimum(small + 0.5, 255).astype(np.uint8, order="C")


def _weights(old: int, new: int) -> np.ndarray:
    """Share of each new pixel that lies on each old one, float32 "new old"; rows sum to 1."""
    edges = np.arange(new + 1)[:, None] * (old / new)
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.maximum(overlap, 0) * (new / old)).astype(np.float32)
