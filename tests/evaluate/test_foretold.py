"""Rewards that a rollout foretells: of the right frames, with the right actions, and scored as events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from data_gen.sims.avoidance import Avoidance
from data_gen.splits import Split
from seqvae.build import DataSpec, build
from seqvae.data.online import simulate
from seqvae.evaluate import score
from seqvae.evaluate.foretold import expected_rewards, foretold
from seqvae.rollout import roll_out
from seqvae.types import RewardModel
from tests.models import config

SIZE, CONTEXT, HORIZON = 16, 3, 11


@dataclass
class Sum:
    value: torch.Tensor

    def mean(self):
        return self.value, self.value


class Spelled(RewardModel):
    """What the reward is made of, readable in the result."""

    def __call__(self, before, action, after):
        return Sum(before.sum((-2, -1)) + 100 * after.sum((-2, -1)) + 1e4 * action)


def data():
    return simulate(Split(Avoidance(), "val", 4, CONTEXT + HORIZON, SIZE, 0), "avoidance")


def test_expected_rewards_are_those_of_the_imagined_steps():
    torch.manual_seed(0)
    model, sequences = build(config("stove"), DataSpec(SIZE, SIZE, 3, 9, 3)), data()
    rollout = roll_out(model, sequences.frames, sequences.prev_actions, CONTEXT, HORIZON)
    assert expected_rewards(model, rollout, sequences) is None
    model.reward = Spelled()
    found = expected_rewards(model, rollout, sequences)
    assert found.shape == (4, 10)
    for t in range(10):
        z, action = rollout.z[:, CONTEXT + t - 1 : CONTEXT + t + 1], sequences.prev_actions[:, CONTEXT + t]
        expected = z[:, 0].sum((1, 2)) + 100 * z[:, 1].sum((1, 2)) + 1e4 * action
        np.testing.assert_allclose(found[:, t], expected, rtol=1e-4)
    assert expected_rewards(model, rollout, replace(sequences, rewards=None)) is None
    short = roll_out(model, sequences.frames, sequences.prev_actions, CONTEXT, 9)
    assert expected_rewards(model, short, sequences) is None


def test_events_are_scored_and_amounts_are_not():
    sequences = data()
    rewards = np.zeros_like(sequences.rewards)
    rewards[1, CONTEXT], rewards[2, CONTEXT + 9] = -1, -1
    rewards[0, CONTEXT - 1] = rewards[0, CONTEXT + 10] = -1  # of no predicted frame 1-10
    sequences = replace(sequences, rewards=rewards)
    expected = np.full((4, 10), -0.1)
    expected[1, 0], expected[2, 9], expected[3, 5] = -0.9, -0.2, -0.3
    (value,) = foretold(expected, sequences, CONTEXT).values()
    assert np.isclose(value.mean, (38 + 37) / (2 * 38))
    assert foretold(expected, replace(sequences, rewards=0 * rewards), CONTEXT) == {}
    assert foretold(None, sequences, CONTEXT) == {}
    rewards[1, CONTEXT] = -2
    assert foretold(expected, sequences, CONTEXT) == {}


def test_an_evaluation_has_the_number():
    sequences = data()
    sequences.rewards[:, CONTEXT::3] = -1
    sequences.rewards[:, CONTEXT + 1 :: 3] = 0
    sequences.rewards[:, CONTEXT + 2 :: 3] = 0
    model = build(config("stove_reward"), DataSpec(SIZE, SIZE, 3, 9, 3))
    shares = score(model, sequences, CONTEXT, HORIZON).shares
    assert 0 <= shares["reward_auc_1_10"].mean <= 1 and shares["reward_auc_1_10"].n == 4
