"""Arithmetic that autocast must leave alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from seqvae.records import map_record


def full_precision(device: torch.device) -> AbstractContextManager:
    """A region without autocast, for quadratic forms and log-densities, which bfloat16 puts off by nats."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def in_full_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that runs outside of autocast, where its half-precision arguments are made float32."""

    @functools.wraps(method)
    def wrapped(self, first: Tensor, *rest: Any) -> Any:
        with full_precision(first.device):
            return method(self, *(map_record(_widened, x) for x in (first, *rest)))

    return wrapped


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
