"""Processes, seeds, interrupts, memory of a training."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from seqvae.errors import UserError
from seqvae.io import SIGNALS, leave, speaks, tell_at_signal
from seqvae.share import losses_noticed
from seqvae.streams import Stream, seed_sequence

DEVICES = ("auto", "cpu", "cuda")

# Data parallel training with torchrun: every rank computes its share of each batch.
#
# Gradients are averaged in one flat all-reduce after the backward pass. For models of this size that costs
# less than the bookkeeping of overlapping it, and it needs no wrapper around the model, of which objectives
# call methods other than `forward`. Weights start equal and stay equal: every rank takes the same update.


@contextmanager
def _silence() -> Iterator[None]:
    """Keep anything from being printed on stderr inside the context, also from C++."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    local_rank: number of the process on its machine
    control: process group on the CPU, for small messages
    store: what all ranks can write to
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: Any = None
    store: Any = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Return the number of a batch's sequences that this rank gets.

        Raises:
            UserError: the batch does not divide evenly, so ranks would weigh differently in its mean.
        """
        if batch_size % self.size:
            raise UserError(f"trainer.batch_size={batch_size} does not divide among {self.size} processes")
        return batch_size // self.size

    def average(self, parameters: list[nn.Parameter], numbers: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace gradients by their mean over ranks; return the means of scalars."""
        if self.size == 1:
            return numbers
        gradients = [p.grad for p in parameters if p.grad is not None]
        scalars = torch.stack([value.detach().float() for value in numbers.values()])
        flat = torch.cat([scalars, *(g.reshape(-1) for g in gradients)])
        with losses_noticed():
            dist.all_reduce(flat)
        flat /= self.size
        means, *chunks = flat.split([len(scalars), *(g.numel() for g in gradients)])
        for gradient, chunk in zip(gradients, chunks, strict=True):
            gradient.copy_(chunk.view_as(gradient))
        return dict(zip(numbers, means, strict=True))

    def agree(self, *values: int | float) -> list[int | float]:
        """Return the largest of each value over ranks, so that all decide alike; one may see Ctrl-C first."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        with losses_noticed():
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.control)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order."""
        if self.size == 1:
            return [value]
        everyone = [None] * self.size
        with losses_noticed():
            dist.all_gather_object(everyone, value, group=self.control)
        return everyone

    def same(self, value: Any) -> Any:
        """Return the value of rank 0 on every rank."""
        if self.size == 1:
            return value
        box = [value]
        with losses_noticed():
            dist.broadcast_object_list(box, group=self.control)
        return box[0]

    def wait(self) -> None:
        """Wait until every rank is here."""
        if self.size > 1:
            with losses_noticed():
                dist.barrier(group=self.control)

    def is_first_to_say(self) -> bool:
        """Return whether no other rank has said why the training ends; from the second call on, False."""
        if self.size == 1:
            return True
        try:
            with _silence():  # torch prints the stack of its own code if the store is gone
                return self.store.add("seqvae_said", 1) == 1
        except RuntimeError:  # what holds the store has ended too
            return True

    def close(self) -> None:
        """Leave the processes that train together."""
        if self.size > 1:
            dist.destroy_process_group()


ONE = Ranks()


def join_ranks(device: str) -> Ranks:
    """Join the processes that torchrun started, if it did: by NCCL for device "cuda", by Gloo for "cpu"."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return ONE
    store, rank, size = next(rendezvous("env://"))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", store=store, rank=rank, world_size=size)
    control = dist.new_group(backend="gloo")
    return Ranks(rank, size, int(os.environ.get("LOCAL_RANK", 0)), control, store)


def require_device(name: str) -> None:
    """Raise UserError unless the name is one of DEVICES."""
    if name in DEVICES:
        return
    kind, _, number = name.lower().partition(":")
    hint = ""
    if kind in ("gpu", "cuda", "nvidia"):
        hint = "; did you mean cuda?"
        if number:
            hint = f"; say device=cuda, and choose the GPU by CUDA_VISIBLE_DEVICES={number}"
    raise UserError(f"device={name}: expected {', '.join(DEVICES)}{hint}")


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device for `auto` (CUDA where there is one), `cpu` or `cuda`.

    Raises:
        UserError: the name is none of these, or CUDA is asked for and absent.
    """
    require_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch sees no CUDA device; use device=cpu, or a CUDA build of torch")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


# Randomness of torch: seeded for each purpose, stored in checkpoints, put back on resuming.

RNG = dict[str, Tensor]


def device_name(device: torch.device) -> str:
    """Return the name of a device for people: that of the GPU, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def seed_everything(seed: Any, stream: Stream, *numbers: int) -> None:
    """Seed torch on every device from one stream of `seed`. numbers: see the stream.

    Raises:
        UserError: the seed is no whole number from 0 to 2**31 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UserError(f"seed={seed}: expected a whole number from 0 to {2**31 - 1}")
    # one word: torch's generator on the CPU uses the lower 32 bits of a seed only
    torch.manual_seed(int(seed_sequence(stream, seed, *numbers).generate_state(1)[0]))


def rng_state(device: torch.device) -> RNG:
    """Return the states of torch's generators on the CPU and on `device`, as byte tensors."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_rng(state: RNG, device: torch.device) -> None:
    """Restore the result of `rng_state`; from another kind of device, only the part of the CPU."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from the validation's stream of `seed` inside the context; restore the generators afterwards."""
    before = rng_state(device)
    seed_everything(seed, Stream.VALIDATION)
    try:
        yield
    finally:
        restore_rng(before, device)


# Ctrl-C and SIGTERM: the first asks the training to save and stop, the second ends it at once.


class Interrupt:
    """Notes the first SIGINT or SIGTERM inside the context in `.signal`; the second ends the process."""

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """End the process at an exception after a signal, of which a compiler may have died."""
        try:
            yield
        except Exception:
            if self.signal is not None:
                leave(self.signal)
            raise

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            leave(number)
        self.signal = number
        if speaks():
            tell_at_signal("stopping: saving after this step (again: stop at once)")


# Memory that a training step frees is kept for the next one.

# the parameters of mallopt in glibc's malloc.h
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory instead of returning it and asking for it again each step.

    Tensors of some MB otherwise come as fresh pages, which the system clears one by one: a third of a step on
    the CPU. Returns whether the C library is glibc, which can do so.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
