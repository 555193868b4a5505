"""The baselines on the reference's physics have the errors that were measured on the reference itself."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.sims.billiards import Billiards
from data_gen.simulator import simulate
from seqvae.evaluate import Truth
from seqvae.evaluate.state_scores import object_curves

# predicted 1-10 on 300 sequences of the billiards simulator of Kossen et al. 2020 (arXiv 1910.02425)
MEASURED = {
    "static, from true states": 0.231,
    "linear, from true states": 0.121,
    "linear, from true states, to the wall": 0.109,
    "another sequence": 0.818,
}
BOUNCING = 0.0503  # on the 300 test sequences of `python -m data_gen sim=billiards`


@pytest.fixture(scope="module")
def rows():
    simulator = Billiards()
    states = simulate(simulator, simulator.reset(300, np.random.default_rng(5)), 18).states
    unit = simulator.limit / 2
    positions, velocities = states.positions / unit - 1, states.velocities / unit
    walls = np.full(positions.shape[:3], 1 - simulator.radius / unit)
    truth = Truth(positions, velocities, 1 - walls, walls=walls)
    return object_curves(positions, velocities, truth, context=8, clamp=0.8)


@pytest.mark.parametrize("row", MEASURED)
def test_baselines_are_those_of_the_reference(rows, row):
    """Both are means over 300 sequences, so their difference has sqrt 2 times the standard error."""
    value = rows[row]["position_error"].over(9, 18)
    assert abs(value.mean - MEASURED[row]) < 3 * np.sqrt(2) * value.se


def test_the_strongest_baseline_bounces_off_the_walls(rows):
    value = rows["bouncing, from true states"]["position_error"].over(9, 18)
    assert abs(value.mean - BOUNCING) < 3 * np.sqrt(2) * value.se
    for row in MEASURED:
        assert value.mean + 6 * value.se < rows[row]["position_error"].over(9, 18).mean


def test_a_model_that_is_told_the_truth_has_no_error(rows):
    assert rows["model"]["position_error"].over(3, 18).mean == 0
    assert rows["model"]["velocity_error"].over(3, 18).mean == 0
