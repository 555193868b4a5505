"""The protocol on a model that filters and predicts exactly: errors are 0, other numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seqvae import metrics
from seqvae.errors import UserError
from seqvae.evaluate import Curve, score
from seqvae.evaluate.image_scores import PixelErrors
from tests.evaluate import spelled

TINY = 4e-3  # frames spell positions out to 1.2e-4


@pytest.fixture
def flight(rng):
    return spelled.straight(rng)


def test_perfect_dynamics_has_no_error(flight):
    radii = np.full((3, 20, 2), 0.2)
    scores = score(spelled.model(), spelled.sequences(*flight, radii=radii), decode=True, pixels="rgb")
    assert (scores.n, scores.context, scores.horizon) == (3, 8, 12)
    numbers = scores.numbers()
    for name in ("position_error_reconstruction", "velocity_error_reconstruction", "velocity_error_1_12"):
        assert numbers[name] < 3e-4
    assert numbers["position_error_1_10"] < TINY and numbers["position_error_1_12"] < TINY
    assert numbers["position_error_1_10_sum"] == pytest.approx(10 * numbers["position_error_1_10"])
    assert numbers["pixel_mse_reconstruction"] == 0
    assert (numbers["found"], numbers["context_swap"]) == (1, 0)


def test_baselines_by_hand(flight):
    """Static: after h frames each object is h |v| from where it was; 1 to 10 average to 5.5 |v|."""
    positions, velocities = flight
    table = score(spelled.model(), spelled.sequences(positions, velocities)).table()
    speed = np.linalg.norm(velocities, axis=-1).mean()
    for row in ("static", "static, from true states"):
        assert table[row]["position_error_1_10"].mean == pytest.approx(5.5 * speed, abs=1e-3)
        assert table[row]["position_error_1_12"].mean == pytest.approx(6.5 * speed, abs=1e-3)
        assert "position_error_reconstruction" not in table[row]
    assert table["static"]["velocity_error_1_10"].mean == pytest.approx(speed, abs=1e-6)
    for row in ("linear", "linear, from true states"):
        assert table[row]["position_error_1_10"].mean < TINY
    strangers = np.linalg.norm(np.roll(positions, 1, 0) - positions, axis=-1)[:, 8:18]
    assert table["another sequence"]["position_error_1_10"].mean == pytest.approx(strangers.mean())


def test_standard_errors_are_over_sequences(flight):
    positions, velocities = flight
    row = score(spelled.model(), spelled.sequences(positions, velocities)).table()["static, from true states"]
    per_sequence = 5.5 * np.linalg.norm(velocities, axis=-1).mean((1, 2))
    value = row["position_error_1_10"]
    assert value.n == 3 and value.se == pytest.approx(per_sequence.std(ddof=1) / np.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(
    ("simulator", "clamp", "wall"), [("billiards", 0.8, 0.75), ("gravity", 0.9, None), (None, 0.8, None)]
)
def test_linear_motion_is_clamped_and_bounces_where_there_are_walls(simulator, clamp, wall):
    """One object at x = 0.7 with 0.05 per frame at frame 8; the truth goes on unhindered."""
    x = 0.35 + 0.05 * np.arange(18)
    positions = np.stack([x, np.zeros(18)], -1)[None, :, None]
    velocities = np.broadcast_to([0.05, 0.0], positions.shape).copy()
    walls = None if wall is None else np.full((1, 18, 1), wall)
    radii = np.full((1, 18, 1), 0.2)
    data = spelled.sequences(positions, velocities, simulator=simulator, radii=radii, walls=walls)
    curves = score(spelled.model(slots=1), data, decode=True, pixels="rgb").curves
    future = x[8:]
    expected = {"linear, from true states": future - np.minimum(future, clamp)}
    walled = {"linear, from true states, to the wall", "bouncing, from true states", "bouncing"}
    if wall is None:
        assert not walled & set(curves)
    else:
        assert walled <= set(curves)
        expected["linear, from true states, to the wall"] = future - np.minimum(future, wall)
        expected["bouncing, from true states"] = 2 * (future - np.minimum(future, wall))
        errors = curves["bouncing"]["position_error"].errors[0]
        np.testing.assert_allclose(errors, expected["bouncing, from true states"], atol=3e-3)  # as spelled
        assert {"linear", "bouncing"} <= {
            row for row, quantities in curves.items() if "pixel_mse" in quantities
        }
    for row, errors in expected.items():
        np.testing.assert_allclose(curves[row]["position_error"].errors[0], errors, atol=1e-9)


def test_slots_bounce_at_the_walls_of_their_objects(flight):
    """The slots are the objects in reverse; each is drawn bouncing at its own wall, as the truth does."""
    start = np.array([[0.3, 0.0], [0.1, 0.5]])
    velocities = np.tile([[0.05, 0.0], [0.06, 0.0]], (1, 20, 1, 1))
    walls = np.array([0.72, 0.66])
    bounced, _ = metrics.bouncing(start[None], velocities[:, 0], 19, walls[None])
    positions = np.concatenate([start[None, None], bounced], 1)
    data = spelled.sequences(positions, velocities, walls=np.tile(walls, (1, 20, 1)))
    data = type(data)(**vars(data) | {"frames": spelled.spell(positions[:, :, ::-1])})
    curves = score(spelled.model(), data, decode=True, pixels="rgb").curves
    assert np.abs(positions[:, 7]).max() < 0.66  # no wall before the end of the context
    assert curves["bouncing"]["pixel_mse"].errors.mean() < 1e-3 < curves["linear"]["pixel_mse"].errors.mean()
    assert curves["bouncing"]["position_error"].errors.max() < TINY


def test_scores_without_baselines_are_those_of_the_model(flight):
    data = spelled.sequences(*flight, radii=np.full((3, 20, 2), 0.2), walls=np.full((3, 20, 2), 0.8))
    whole = score(spelled.model(), data, decode=True)
    bare = score(spelled.model(), data, decode=True, baselines=False)
    measured = {"med", "psnr", "ssim"}  # only where baselines are asked for: a validation does without
    numbers = {name: x for name, x in whole.numbers().items() if name.partition("_")[0] not in measured}
    assert list(bare.curves) == ["model"] and bare.numbers() == numbers


def test_standard_errors_are_over_sources(flight):
    """Each sequence twice, with its source: means and errors are those of the sequences alone."""
    positions, velocities = flight
    fields = {"radii": np.full((3, 20, 2), 0.2), "walls": np.full((3, 20, 2), 0.8)}
    once = score(spelled.model(damping=0.9), spelled.sequences(positions, velocities, **fields), decode=True)
    twice = {name: x.repeat(2, 0) for name, x in fields.items()}
    data = spelled.sequences(
        positions.repeat(2, 0), velocities.repeat(2, 0), sources=np.arange(3).repeat(2)[:, None], **twice
    )
    again = score(spelled.model(damping=0.9), data, decode=True)
    assert (again.n, again.sources, once.sources) == (6, 3, None)
    for row, columns in once.table().items():
        if row != "another sequence":
            for name, value in columns.items():
                twin = again.table()[row][name]
                assert (twin.mean, twin.se) == pytest.approx((value.mean, value.se), rel=1e-5, abs=1e-12)
    assert again.shares["found"].se == pytest.approx(once.shares["found"].se)


def test_slots_come_in_any_order_and_more_of_them(rng, flight):
    """The model's slots are the objects in another order in each sequence, and one more."""
    positions, velocities = flight
    extra = np.full((3, 20, 1, 2), 0.9)
    shown = np.concatenate([positions, extra], axis=2)
    orders = [[2, 0, 1], [0, 2, 1], [1, 0, 2]]
    shown = np.stack([clip[:, order] for clip, order in zip(shown, orders, strict=True)])
    data = spelled.sequences(positions, velocities, radii=np.full((3, 20, 2), 0.1))
    data = type(data)(**vars(data) | {"frames": spelled.spell(shown)})
    numbers = score(spelled.model(slots=3), data).numbers()
    assert numbers["position_error_1_10"] < TINY and numbers["found"] == 1


def test_objects_that_are_not_there_are_not_scored(flight):
    """The third object never exists, the second leaves after frame 12; their states then mean nothing."""
    positions, velocities = flight
    ghost = np.full((3, 20, 1, 2), 0.9)
    shown = np.concatenate([positions, ghost], axis=2)
    speeds = np.concatenate([velocities, np.zeros_like(ghost)], axis=2)
    present = np.ones((3, 20, 3), dtype=bool)
    present[:, :, 2], present[:, 12:, 1] = False, False
    data = spelled.sequences(shown, speeds, present=present, radii=np.full((3, 20, 3), 0.1))
    true = data.positions.copy()
    true[~present] = 0.0
    data = type(data)(**vars(data) | {"positions": true})
    scores = score(spelled.model(slots=3), data)
    assert scores.numbers()["position_error_1_12"] < TINY and scores.numbers()["found"] == 1
    everything = type(data)(**vars(data) | {"present": None})
    assert score(spelled.model(slots=3), everything).numbers()["position_error_1_12"] > 0.1


def test_an_identity_swap_after_the_order_is_fixed_costs():
    """Two objects at rest; from frame 9 on the frames show them exchanged. The context decides the order."""
    positions = np.tile([[-0.5, 0.0], [0.5, 0.0]], (1, 20, 1, 1))
    velocities = np.zeros_like(positions)
    data = spelled.sequences(positions, velocities)
    exchanged = positions.copy()
    exchanged[:, 8:] = exchanged[:, 8:, ::-1]
    data = type(data)(**vars(data) | {"positions": exchanged})
    assert score(spelled.model(), data).numbers()["position_error_1_10"] == pytest.approx(1, abs=1e-3)


def test_errors_start_at_frame_3_and_predictions_at_9(flight):
    curves = score(spelled.model(), spelled.sequences(*flight), decode=True).curves
    assert {row: c["position_error"].first for row, c in curves.items() if "position_error" in c} == {
        "model": 3, "static": 9, "linear": 9, "static, from true states": 9, "linear, from true states": 9,
        "another sequence": 9,
    }  # fmt: skip
    assert all(c["pixel_mse"].last == 20 for c in curves.values() if "pixel_mse" in c)


def test_a_curve_knows_its_frames():
    curve = Curve(np.array([[3.0, 4.0, 5.0], [3.0, 4.0, 7.0]]), first=3)
    assert curve.last == 5 and curve.over(4, 5).mean == 5 and curve.over(3, 3).mean == 3
    assert curve.over(2, 4) is None and curve.over(4, 6) is None and curve.over(5, 4) is None
    assert {frame: e.mean for frame, e in curve.by_frame().items()} == {3: 3, 4: 4, 5: 6}


def test_pictures_without_a_model(rng, flight):
    """copy of the last frame, mean frame and black, by direct computation over predicted frames 1-10."""
    data = spelled.sequences(*flight)
    x = data.frames.astype(np.float64) / 255
    grey = np.minimum(x.sum(-1), 1)
    for mode, frames in (("rgb", x), ("grey", grey[..., None])):
        table = score(spelled.model(), data, decode=True, pixels=mode).table()
        future = frames[:, 8:18]
        for row, picture in {
            "copy of the last frame": frames[:, 7:8],
            "mean frame": frames.mean((0, 1)),
            "black": 0.0,
        }.items():
            expected = np.square(future - picture).mean()
            assert table[row]["pixel_mse_1_10"].mean == pytest.approx(expected, rel=1e-4)


def test_straight_lines_are_drawn_as_the_model_draws(flight):
    """The data goes straight, within the clamp: a model that sees exactly draws it as it is."""
    table = score(spelled.model(), spelled.sequences(*flight), decode=True, pixels="rgb").table()
    assert table["linear"]["pixel_mse_1_10"].mean < 1e-3 < table["black"]["pixel_mse_1_10"].mean


def test_pixels_are_grey_on_black_by_default(flight):
    data = spelled.sequences(*flight)  # 4 of 64 pixels are not black
    auto, grey = (score(spelled.model(), data, decode=True, pixels=p).table() for p in ("auto", "grey"))
    assert auto == grey
    lit = type(data)(**vars(data) | {"frames": np.maximum(data.frames, 3)})
    auto, rgb = (score(spelled.model(), lit, decode=True, pixels=p).table()["black"] for p in ("auto", "rgb"))
    assert auto == rgb


def test_a_grey_model_in_three_channels_counts_once():
    """Half-bright grey against full red is 0.25 per pixel, not 0 as by the clipped sum of three halves."""
    frames = np.zeros((1, 2, 4, 4, 3), dtype=np.uint8)
    frames[..., :1, :1, 0] = 255
    predicted = np.zeros((1, 2, 4, 4, 3), dtype=np.float32)
    predicted[..., :1, :1, :] = 0.5
    rows = PixelErrors(frames, "grey", context=1, first=1).rows(predicted, frames)
    np.testing.assert_allclose(rows["model"], [[0.25 / 16, 0.25 / 16]])


def test_without_truth_only_pixels_are_scored(flight):
    data = spelled.sequences(*flight)
    bare = type(data)(name="bare", frames=data.frames)
    assert set(score(spelled.model(), bare, decode=True).table()["model"]) == {
        "pixel_mse_reconstruction", "pixel_mse_1_10", "pixel_mse_1_10_sum", "pixel_mse_1_12",
        "psnr_reconstruction", "psnr_1_10", "psnr_1_12",
    }  # fmt: skip
    assert score(spelled.model(), bare).numbers() == {}


def test_without_velocities_linear_takes_the_last_two_positions(flight):
    positions, _ = flight
    table = score(spelled.model(velocity=False), spelled.sequences(positions)).table()
    assert table["linear"]["position_error_1_10"].mean < TINY
    assert not any("velocity" in column for row in table.values() for column in row)
    assert "linear, from true states" not in table


def test_a_short_horizon_has_no_column_it_does_not_reach(flight):
    columns = score(spelled.model(), spelled.sequences(*flight), horizon=6).table()["model"]
    assert "position_error_1_6" in columns and "position_error_1_10" not in columns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 13}, "horizon=13: spelled has 12 frames after context=8"),
        ({"context": 20}, "has 20 frames per sequence; context=20 needs at least one more"),
        ({"context": 2}, "context=2: at least 3"),
        ({"decode": True, "pixels": "blue"}, "pixels=blue: expected auto, grey or rgb"),
    ],
)
def test_impossible_wishes(flight, options, message):
    with pytest.raises(UserError, match=message):
        score(spelled.model(), spelled.sequences(*flight), **options)


def test_too_few_slots(flight):
    with pytest.raises(UserError, match="1 slots, too few for the 2 objects"):
        score(spelled.model(slots=1), spelled.sequences(*flight))


def test_states_that_are_not_finite_do_not_look_good(flight):
    numbers = score(spelled.model(damping=float("nan")), spelled.sequences(*flight)).numbers()
    assert np.isnan(numbers["position_error_1_10"])
