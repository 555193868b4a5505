"""Two rooms: steps, walls and the door by hand, and what a picture shows."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.sims.two_room import TwoRoom
from data_gen.simulator import State, simulate

WORLD = TwoRoom()


def at(*places):
    positions = np.array(places, float)[:, None]
    return State(positions, np.zeros_like(positions))


def after(places, actions):
    return WORLD.step(at(*places), np.array(actions, np.float32)).state.positions[:, 0].tolist()


@pytest.mark.parametrize(
    ("place", "action", "expected"),
    [
        ((50, 100), (1, -0.5), (55, 97.5)),
        ((50, 100), (3, -9), (55, 95)),  # no faster than the limits
        ((22, 100), (-1, 0), (21, 100)),  # the border, with the radius
        ((200, 201), (1, 1), (203, 203)),
        ((98, 120), (1, 0), (99.5, 120)),  # the wall from the left: 107 - 7 - 0.5
        ((126, 120), (-1, 0), (124.5, 120)),  # and from the right
        ((98, 49), (1, 0), (103, 49)),  # the door
        ((98, 64.75), (1, 0), (103, 64.75)),  # at its very edge: 49 + 14 + 1.75
        ((98, 64.8), (1, 0), (99.5, 64.8)),
        ((110, 62), (0, 1), (99.5, 67)),  # out of the door into the wall: back to the side it is on
        ((114, 62), (0, 1), (124.5, 67)),
    ],
)
def test_steps_by_hand(place, action, expected):
    np.testing.assert_allclose(after([place], [action])[0], expected, atol=1e-9)


def test_velocities_are_the_moves_and_nothing_is_rewarded():
    state = at((50, 100), (98, 120))
    step = WORLD.step(state, np.array([[1, 0], [1, 0]], np.float32))
    np.testing.assert_allclose(step.state.velocities[:, 0], [[5, 0], [1.5, 0]])
    assert not step.rewards.any() and not step.dones.any() and not step.collisions.any()
    np.testing.assert_array_equal(WORLD.step(state).state.positions, state.positions)


def test_an_agent_is_always_in_a_room_or_in_the_door(rng):
    start = WORLD.reset(200, rng)
    actions = WORLD.sample_actions(200, 60, rng)
    x, y = np.moveaxis(simulate(WORLD, start, 60, actions).states.positions[:, :, 0], -1, 0)
    assert (x.min(), y.min()) >= (21, 21) and (x.max(), y.max()) <= (203, 203)
    between = (x > 100) & (x < 124)
    assert between.any() and (np.abs(y[between] - 49) <= 15.75).all()
    # starts are in both rooms, as their areas are equal
    left = (start.positions[:, 0, 0] < 112).mean()
    assert abs(left - 0.5) < 4 * np.sqrt(0.25 / 200)
    crossed = (x.min(1) < 100) & (x.max(1) > 124)
    assert crossed.any()


@pytest.mark.parametrize("size", [224, 64, 30])
def test_pictures(size):
    frame = WORLD.render(at((60, 150)), size)[0][0].astype(float)
    pixel = 224 / size

    def colour(x, y):
        return frame[int(y / pixel), int(x / pixel)]

    assert frame.shape == (size, size, 3)
    assert (colour(5, 5) == 255).all() and (colour(170, 60) == 255).all()
    assert (colour(112, 120) < 128).all() and (colour(112, 49) > 250).all()  # wall and door
    middle = colour(60, 150)
    assert middle[0] == 255 and middle[1] < 60
    # the dot has the mass of a Gaussian: (2 pi std^2) pixels of the picture of 224
    missing = (255 - frame[..., 1]).sum() - (
        255 - WORLD.render(at((300, 300)), size)[0][0][..., 1].astype(float)
    ).sum()
    assert missing / 255 * pixel**2 == pytest.approx(2 * np.pi * 49, rel=0.03)


def test_walls_are_where_they_are_said_to_be():
    """A line through the lower half, at full size: white, the border of 4, white, the wall of 10, ..."""
    row = WORLD.render(at((60, 30)), 224)[0][0, 180, :, 0]
    black = np.flatnonzero(row == 0)
    assert black.tolist() == [*range(10, 14), *range(107, 117), *range(210, 214)]
    column = WORLD.render(at((60, 30)), 224)[0][0, :, 112, 0]
    white = np.flatnonzero(column[14:210] == 255) + 14
    assert white.tolist() == list(range(35, 63))


@pytest.mark.parametrize("option", [{"speed": 0}, {"size": -1.0}, {"door": 20.0}, {"size": 60.0}])
def test_impossible_options_are_refused(option):
    with pytest.raises(DataError, match=f"sim.{next(iter(option))}="):
        TwoRoom(**option)
