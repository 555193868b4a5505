"""Sampled futures and long rollouts."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.evaluate import long_rollouts, uncertainty
from tests.evaluate import spelled


def test_intervals_of_the_true_process_cover_what_they_say(rng):
    """A random walk, and a model with its noise: 50 and 90 %, within four standard errors."""
    steps = rng.normal(0, 0.05, (150, 20, 2, 2))
    steps[:, 0] = rng.uniform(-0.5, 0.5, (150, 2, 2))
    data = spelled.sequences(steps.cumsum(1))
    result = uncertainty(spelled.model(velocity=False, noise=0.05), data)
    for level in (50, 90):
        value = result[f"coverage_{level}_1_10"]
        assert abs(value.mean - level / 100) < 4 * value.se and value.se < 0.02
    assert result["best_of_20_1_10"].mean < result["mean_of_20_1_10"].mean
    # two walks of h steps are a Rayleigh variable apart: mean sigma sqrt(pi / 2), sigma^2 = 2 h 0.05^2
    expected = np.mean([np.sqrt(2 * h) * 0.05 * np.sqrt(np.pi / 2) for h in range(1, 11)])
    value = result["mean_of_20_1_10"]
    assert abs(value.mean - expected) < 4 * value.se
    assert set(result) == {f"{name}_{span}" for span in ("1_10", "1_12") for name in (
        "best_of_20", "mean_of_20", "coverage_50", "coverage_90",
    )}  # fmt: skip


def test_a_model_that_is_too_sure_covers_less(rng):
    steps = rng.normal(0, 0.05, (150, 20, 1, 2))
    data = spelled.sequences(steps.cumsum(1))
    result = uncertainty(spelled.model(slots=1, velocity=False, noise=0.01), data)
    assert result["coverage_90_1_10"].mean < 0.5


def test_uncertainty_needs_samples_and_positions(rng):
    data = spelled.sequences(spelled.straight(rng)[0])
    with pytest.raises(UserError, match="samples=18: at least 19"):
        uncertainty(spelled.model(), data, samples=18)
    bare = type(data)(name="bare", frames=data.frames)
    assert uncertainty(spelled.model(), bare) == {}


def straight_out():
    """Two balls at rest, almost in one place, and one that leaves to the right at 0.02 per frame."""
    start = np.array([[-0.5, 0.0], [-0.45, 0.0], [0.0, 0.5]])
    velocity = np.array([[0.0, 0.0], [0.0, 0.0], [0.02, 0.0]])
    positions = start + velocity * np.arange(10)[:, None, None]
    return positions[None], np.broadcast_to(velocity, (1, 10, 3, 2)).copy()


def test_long_rollouts_by_hand():
    """Ball 3 is at 0.14 in frame 8 and leaves after 43 more; the others are one object of two slots."""
    data = spelled.sequences(*straight_out(), radii=np.full((1, 10, 3), 0.2))
    result = long_rollouts(spelled.model(slots=3), data, horizon=150)
    assert list(result) == [92, 150]
    for values in result.values():
        assert values["energy_ratio"].mean == pytest.approx(1, abs=1e-6)
        assert values["in_box"].mean == pytest.approx(2 / 3) and values["distinct_objects"].mean == 1
    near = long_rollouts(spelled.model(slots=3), data, horizon=30)[30]
    assert near["in_box"].mean == 1 and near["distinct_objects"].mean == 2


def test_energy_is_compared_with_the_end_of_the_context():
    data = spelled.sequences(*straight_out())
    result = long_rollouts(spelled.model(slots=3, damping=0.99), data, horizon=20)
    assert result[20]["energy_ratio"].mean == pytest.approx(0.99**40, rel=1e-4)


def test_energy_is_compared_with_the_true_one_as_well():
    """The filter reads the velocity 0.02 from the frames; the data says 0.04, of an object that is there."""
    positions, velocities = straight_out()
    present = np.tile([True, False, True], (1, 10, 1))
    velocities[:, :, 1] = 9.0  # of an absent object, so it means nothing
    data = spelled.sequences(positions, 2 * velocities, present=present)
    result = long_rollouts(spelled.model(slots=3), data, horizon=20)[20]
    assert result["energy_ratio"].mean == pytest.approx(1, rel=1e-4)
    assert result["energy_over_truth"].mean == pytest.approx(1 / 4, rel=0.02)  # frames spell to 1.2e-4
    bare = long_rollouts(spelled.model(slots=3), spelled.sequences(positions), horizon=20)[20]
    assert "energy_over_truth" not in bare and "energy_ratio" in bare


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ({"velocity": False}, {}, "no positions and velocities"),
        ({}, {"simulator": "gravity"}, "gravity has no walls"),
        ({"actions": 3}, {}, "actions"),
    ],
)
def test_where_long_rollouts_mean_nothing(rng, model, fields, message):
    with pytest.raises(UserError, match=message):
        long_rollouts(spelled.model(**model), spelled.sequences(*spelled.straight(rng), **fields))
