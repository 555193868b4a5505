"""Rewards that a model foretells in its rollouts, and how well they tell what comes."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from seqvae.data.sequences import Sequences
from seqvae.evaluate.scores import SHORT
from seqvae.metrics import Estimate, auc
from seqvae.rollout import Rollout, device_of
from seqvae.sequence import SequenceModel

NAME = f"reward_auc_1_{SHORT}"


def expected_rewards(
    model: SequenceModel, rollout: Rollout, data: Sequences
) -> Float[np.ndarray, "n t"] | None:
    """Return the expected reward of the predicted frames 1-10, by the imagined states.

    None for models without a reward part, data without rewards and shorter rollouts.
    """
    first = rollout.first_predicted
    last = first + SHORT
    if model.reward is None or data.rewards is None or rollout.z.shape[1] < last:
        return None
    z = torch.as_tensor(rollout.z[:, first - 1 : last], device=device_of(model))
    actions = None
    if model.spec.actions and data.prev_actions is not None:
        actions = torch.as_tensor(data.prev_actions[:, first:last], device=z.device)
    with torch.no_grad():
        reward, _ = model.reward(z[:, :-1], actions, z[:, 1:]).mean()
    return reward.cpu().numpy()


def foretold(expected: Float[np.ndarray, "n t"] | None, data: Sequences, context: int) -> dict[str, Estimate]:
    """Return the area under the ROC curve of an event, a reward that is not 0, from |expected reward|.

    Empty where rewards are no event: where there are none, or amounts that differ.
    """
    if expected is None or data.rewards is None:
        return {}
    rewards = data.rewards[:, context : context + SHORT]
    if len(np.unique(rewards[rewards != 0])) != 1:
        return {}
    return {NAME: auc(np.abs(expected.astype(np.float64)), rewards != 0, data.sources)}
