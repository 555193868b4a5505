"""Randomness of torch: seeded for each purpose, stored in checkpoints, put back on resuming."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from seqvae.streams import Stream, seed_sequence
from seqvae.types import UserError

RNG = dict[str, Tensor]


def seed_everything(seed: Any, stream: Stream, *numbers: int) -> None:
    """Let torch draw from one stream of `seed`, on every device. numbers: see the stream.

    Raises:
        UserError: the seed is no whole number from 0 to 2**31 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UserError(f"seed={seed}: expected a whole number from 0 to {2**31 - 1}")
    # one word: torch's generator on the CPU looks at the lower 32 bits of a seed only
    torch.manual_seed(int(seed_sequence(stream, seed, *numbers).generate_state(1)[0]))


def rng_state(device: torch.device) -> RNG:
    """The state of torch's generators on the CPU and on `device`, as byte tensors."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: RNG, device: torch.device) -> None:
    """Put back what `rng_state` gave. A state from another kind of device restores the CPU's part only."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch draws from the validation's stream of `seed`; afterwards as if nothing had been drawn."""
    before = rng_state(device)
    seed_everything(seed, Stream.VALIDATION)
    try:
        yield
    finally:
        restore_rng(before, device)
