"""Actions, rewards and ends: what passes between an agent and its world beside frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqvae.data.conversion import prev_actions
from seqvae.tree import map_record, short_repr

KEYS = ("actions", "prev_actions", "rewards", "dones", "ends")  # of arrays that are read


@dataclass(frozen=True)
class Interaction:
    """Actions, rewards and ends, under the frame to which they belong; None where the data has none.

    prev_actions: b t, the action that led to each frame
    rewards: b t, float32, received on arriving at each frame
    ends: b t, bool, whether the episode has ended at each frame
    """

    __repr__ = short_repr

    prev_actions: Tensor | None = None
    rewards: Tensor | None = None
    ends: Tensor | None = None

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Any],
        device: torch.device | str = "cpu",
        num_actions: int = 0,
        name: str = "actions",
    ) -> Interaction:
        """Take those that there are among arrays "n t ..." of KEYS.

        `actions` stand as on disk, where [:, t] acts after frame t, and `prev_actions` under the frame that
        they led to. `dones` are the ends on disk.

        num_actions, name: as in prev_actions

        Raises:
            UserError: an action is out of range.
        """

        def tensor(key: str) -> Tensor | None:
            return torch.as_tensor(arrays[key]).to(device) if key in arrays else None

        led_to = tensor("prev_actions")
        acting = tensor("actions")
        rewards, ends = tensor("rewards"), tensor("dones" if "dones" in arrays else "ends")
        return cls(
            led_to if acting is None else prev_actions(acting, num_actions, name),
            None if rewards is None else rewards.float(),
            ends,
        )

    def map(self, fn: Callable[[Tensor], Tensor]) -> Interaction:
        """Apply fn to every tensor."""
        return map_record(fn, self)
