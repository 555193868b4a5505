"""Rewards and ends in an objective: the terms of a model's reward part."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from seqvae.sequence import SequenceModel
from seqvae.tree import slice_frames
from seqvae.types import Terms


def add_outcomes(
    model: SequenceModel,
    batch: Any,
    terms: Terms,
    z: Float[Tensor, "b t k d"],
    start: int,
    weight: float,
) -> Terms:
    """Add log p(r_t, end_t | z_t-1, a_t-1, z_t) of a clip's frames, as auxiliary terms `reward` and `end`.

    They are no part of the bound, and not defined at the first frame of a clip, whose state before is not
    known. Without a reward part, or rewards in the batch, the terms stay as they are.

    batch: clips with `rewards` and `ends` "b t"; without ends no episode ends
    terms: of the frames from number `start` on
    z: states of all frames of the clip
    weight: of both terms
    """
    rewards, ends = (getattr(batch, name, None) for name in ("rewards", "ends"))
    if model.reward is None or rewards is None:
        return terms
    ends = torch.zeros_like(rewards) if ends is None else ends.to(rewards.dtype)
    later = slice(1, None)
    outcome = model.reward(z[:, :-1], slice_frames(batch.prev_actions, later), z[:, 1:])
    found = outcome.log_prob(rewards[:, later], ends[:, later])
    known = torch.ones_like(rewards, dtype=torch.bool)
    known[:, 0] = False
    values = {name: pad(value, (1, 0))[:, start - 1 :] for name, value in found.items()}
    return Terms(
        terms.values | values,
        terms.weights | dict.fromkeys(values, weight),
        terms.defined | dict.fromkeys(values, known[:, start - 1 :]),
    )
