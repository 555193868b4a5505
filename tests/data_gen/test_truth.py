"""Masks, positions, actions and rewards beside foreign frames: read in their units, or left out."""

from __future__ import annotations

import numpy as np
import pytest

from data_gen.card import CARD
from data_gen.convert import ExportOptions, export_data
from data_gen.errors import DataError
from data_gen.schema import read_info
from seqvae.data.sequences import read_sequences
from tests.data_gen.foreign import contents, import_files, write_hdf5
from tests.refusals import refusal

N, T, H, W, K = 4, 6, 12, 16, 3


@pytest.fixture
def frames(rng):
    return rng.integers(0, 256, (N, T, H, W, 3), dtype=np.uint8)


@pytest.fixture
def masks(rng):
    return rng.integers(0, K + 1, (N, T, H, W)).astype(np.uint8)


def imported(folder, arrays, **options):
    """Write an .npz, import it, and return the arrays of train.h5."""
    np.savez(folder / "a.npz", **arrays)
    form = options.pop("format", "auto")
    import_files(form, folder / "a.npz", folder / "out", overwrite=True, **options)
    return contents(folder / "out" / "train.h5")


def refused(folder, arrays, **options):
    return refusal(lambda: imported(folder, arrays, **options), error=DataError)


# ---- masks


def one_hot(masks, first=0):
    return np.stack([masks == label for label in range(first, K + 1)], axis=2)  # n t k h w


MASKS = {
    "labels": lambda m: m,
    "with an axis of channels": lambda m: m[..., None],
    "channels first": lambda m: m[:, :, None],
    "int64": lambda m: m.astype(np.int64),
    "whole floats": lambda m: m.astype(np.float32),
    "-1 for the background": lambda m: m.astype(int) - 1,
    "layers with background": lambda m: one_hot(m),
    "layers of 0 and 255": lambda m: one_hot(m).astype(np.uint8)[..., None] * np.uint8(255),
    "layers last": lambda m: np.moveaxis(one_hot(m), 2, -1).astype(np.float32),
    "layers of objects": lambda m: one_hot(m, first=1),
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_become_labels(tmp_path, frames, masks, case):
    name = ("masks", "mask", "segmentations")[len(case) % 3]
    ours = imported(tmp_path, {"frames": frames, name: MASKS[case](masks)})
    np.testing.assert_array_equal(ours["masks"], masks)
    assert ours["masks"].dtype == np.uint8


@pytest.mark.parametrize("case", MASKS)
def test_masks_of_single_images(tmp_path, frames, masks, case):
    stored = MASKS[case](masks).reshape(N * T, *MASKS[case](masks).shape[2:])
    ours = imported(tmp_path, {"image": frames.reshape(N * T, H, W, 3), "mask": stored}, format="images")
    np.testing.assert_array_equal(ours["masks"], masks.reshape(N * T, 1, H, W))
    assert "sources" not in ours


def test_many_labels_are_numbered_anew_per_sequence(tmp_path, frames, masks, capsys):
    large = masks.astype(int)
    large[0] *= 1000  # in one sequence: 0, 1000, 2000, 3000
    ours = imported(tmp_path, {"frames": frames, "mask": large})
    np.testing.assert_array_equal(ours["masks"], masks)
    assert "labels up to 3000 are numbered anew" in capsys.readouterr().out


def test_masks_of_their_own_file_or_name(tmp_path, frames, masks):
    np.save(tmp_path / "labels.npy", masks)
    ours = imported(tmp_path, {"frames": frames}, masks=str(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(ours["masks"], masks)
    ours = imported(tmp_path, {"frames": frames, "instances": masks}, masks="instances")
    np.testing.assert_array_equal(ours["masks"], masks)
    assert "masks" not in imported(tmp_path, {"frames": frames, "mask": masks}, masks=None)


@pytest.mark.parametrize("crop", [True, False])
def test_masks_and_positions_are_resized_with_their_frames(tmp_path, crop):
    """A square of one colour stays on its mask, with its position in the middle."""
    frames, masks = np.zeros((1, 1, 48, 64, 3), np.uint8), np.zeros((1, 1, 48, 64), np.uint8)
    frames[..., 12:24, 32:48, :], masks[..., 12:24, 32:48] = 200, 1
    arrays = {"frames": frames, "mask": masks, "positions": np.array([[[[40.0, 18.0]]]])}
    ours = imported(tmp_path, arrays, coordinates="pixels", image_size=16, crop=crop)
    shown = ours["imgs"][0, 0, ..., 0] > 100
    np.testing.assert_array_equal(ours["masks"][0, 0] == 1, shown)
    rows, columns = np.nonzero(shown)
    middle = [(columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2]
    np.testing.assert_allclose(ours["positions"][0, 0, 0], middle, atol=0.5)
    assert read_info(tmp_path / "out" / "train.h5").coord_limit == 16


# ---- positions


@pytest.mark.parametrize("units", ["pixels", "unit", "signed", 10])
def test_positions_in_any_units_are_the_same_for_a_model(tmp_path, rng, frames, units):
    signed = rng.uniform(-1, 1, (N, T, K, 2))
    width, height = {"pixels": (W, H), "unit": (1, 1), "signed": (2, 2), 10: (10, 10)}[units]
    stored = (signed + 1) / 2 * [width, height] - (1 if units == "signed" else 0)
    ours = imported(
        tmp_path,
        {"frames": frames, "positions": stored, "velocities": signed * [width / 2, height / 2]},
        coordinates=units,
    )
    sequences = read_sequences(tmp_path / "out" / "train.h5")
    np.testing.assert_allclose(sequences.positions, signed, atol=1e-12)
    np.testing.assert_allclose(sequences.velocities, signed, atol=1e-12)
    if units == 10:
        np.testing.assert_array_equal(ours["positions"], stored)


def test_units_of_positions_are_asked_for_and_checked(tmp_path, rng, frames):
    positions = rng.uniform(0, 12, (N, T, K, 2))
    arrays = {"frames": frames, "positions": positions}
    assert "in which units? say coordinates=pixels" in refused(tmp_path, arrays)
    assert "most lie outside the picture" in refused(tmp_path, arrays, coordinates="unit")
    small = arrays | {"positions": positions / 12}
    assert "is it coordinates=unit" in refused(tmp_path, small, coordinates="pixels")
    assert imported(tmp_path, arrays, positions=None).keys() == {"imgs", "sources"}
    assert "of (4, 6)" in refused(tmp_path, arrays | {"x": positions[:2]}, positions="x", coordinates=12)


def test_what_else_is_known_is_kept(tmp_path, rng, frames, capsys):
    arrays = {
        "masses": rng.uniform(size=(N, T, K)).astype(np.float32),
        "present": rng.uniform(size=(N, T, K)) < 0.5,
        "colors": rng.uniform(size=(N, T, K, 3)).astype(np.float32),
        "charges": rng.uniform(size=(N, K)).astype(np.float32),
        "edges": rng.integers(0, 2, (N, K, K)),
        "collisions": rng.integers(0, 2, (N, T)),
        "dones": np.zeros((N, T), bool),
    }
    odd = {"layers": np.zeros((N, 2)), "camera": np.zeros((N, 3))}
    ours = imported(tmp_path, {"frames": frames} | arrays | odd)
    for key, array in arrays.items():
        np.testing.assert_array_equal(ours[key], array)
    assert "left out layers, camera" in capsys.readouterr().out
    assert ours.keys() == {"imgs", "sources", *arrays}


# ---- actions


def test_whole_and_one_hot_actions(tmp_path, rng, frames, capsys):
    actions = rng.integers(0, 5, (N, T))
    actions[0, 0] = 4
    ways = {"numbers": actions, "a column": actions[..., None], "floats": actions.astype(float)}
    ways["one_hot"] = np.eye(5)[actions]
    for stored in ways.values():
        ours = imported(tmp_path, {"frames": frames, "action": stored})
        np.testing.assert_array_equal(ours["actions"], actions)
        assert read_info(tmp_path / "out" / "train.h5").num_actions == 5
    imported(tmp_path, {"frames": frames, "actions": actions}, num_actions=9)
    assert read_info(tmp_path / "out" / "train.h5").num_actions == 9
    assert "more than num_actions=3" in refused(
        tmp_path, {"frames": frames, "actions": actions}, num_actions=3
    )


def test_an_action_stays_at_its_frame_when_a_sequence_is_cut(tmp_path, rng, frames):
    actions = rng.integers(0, 5, (N, T))
    imported(tmp_path, {"frames": frames, "actions": actions}, length=2)
    led_to = read_sequences(tmp_path / "out" / "train.h5").prev_actions.reshape(N, T)
    np.testing.assert_array_equal(led_to, np.roll(actions, 1, axis=1))


def test_one_action_and_reward_less_than_frames(tmp_path, rng, frames, capsys):
    actions, rewards = rng.integers(0, 5, (N, T - 1)), rng.normal(size=(N, T - 1)).astype(np.float32)
    ours = imported(tmp_path, {"frames": frames, "actions": actions, "rewards": rewards})
    led_to = read_sequences(tmp_path / "out" / "train.h5").prev_actions
    np.testing.assert_array_equal(led_to[:, 1:], actions)
    np.testing.assert_array_equal(ours["rewards"][:, 1:], rewards)
    assert not led_to[:, 0].any() and not ours["rewards"][:, 0].any()
    output = capsys.readouterr().out
    assert "the action that led to frame 1 is not known" in output and "on arriving at frame t + 1" in output


def test_continuous_actions_are_kept_as_they_are(tmp_path, rng, frames, capsys):
    actions = rng.normal(size=(N, T, 2)).astype(np.float32)
    ours = imported(tmp_path, {"frames": frames, "actions": actions})
    np.testing.assert_array_equal(ours["actions_continuous"], actions)
    info = read_info(tmp_path / "out" / "train.h5")
    assert info.num_actions == 0 and "actions" not in info.keys
    assert "actions of 2 numbers each, stored as actions_continuous" in capsys.readouterr().out
    assert "2 numbers per action" in (tmp_path / "out" / CARD).read_text()


def test_continuous_actions_survive_an_export(tmp_path, rng, frames):
    square, actions = frames[..., :H, :], rng.normal(size=(N, T, 2)).astype(np.float32)
    truth = {"positions": rng.uniform(0, H, (N, T, K, 2)), "sizes": np.ones((N, T, K), np.float32)}
    truth |= {"ids": np.ones((N, T, K), int), "in_camera": np.ones((N, T, K), bool)}
    imported(tmp_path, {"frames": square, "actions": actions} | truth, coordinates="pixels")
    export_data(ExportOptions("gswm", str(tmp_path / "out"), str(tmp_path / "gswm")))
    import_files("auto", tmp_path / "gswm", tmp_path / "back")
    np.testing.assert_array_equal(contents(tmp_path / "back" / "train.h5")["actions_continuous"], actions)


# ---- files of other projects


def test_an_image_set_of_object_centric_library(tmp_path, rng):
    """Its arrays, by data/datasets.py of addtt/object-centric-library: k = 11 with the background first."""
    n, k = 5, 11
    image, mask = rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8), rng.integers(0, k, (n, 16, 16, 1))
    arrays = {"image": image, "mask": mask.astype(np.uint8), "visibility": np.ones((n, k), np.float32)}
    arrays |= {"num_actual_objects": np.full((n, 1), 3), "pixel_coords": rng.uniform(size=(n, k, 3))}
    arrays |= {name: rng.integers(0, 3, (n, k, 1)) for name in ("color", "shape", "size", "material")}
    write_hdf5(tmp_path / "clevr_10-full.hdf5", arrays)
    import_files("auto", tmp_path / "clevr_10-full.hdf5", tmp_path, val=0.2, test=0.2)
    ours = [contents(tmp_path / f"{split}.h5") for split in ("train", "val", "test")]
    np.testing.assert_array_equal(np.concatenate([split["imgs"] for split in ours])[:, 0], image)
    np.testing.assert_array_equal(np.concatenate([split["masks"] for split in ours])[:, 0], mask[..., 0])


def test_a_file_of_stable_worldmodel(tmp_path, rng, capsys):
    """Flat columns with ep_len and ep_offset; actions after the last step of an episode are NaN."""
    lengths = np.array([5, 8, 6], np.int32)
    total, offsets = lengths.sum(), lengths.cumsum() - lengths
    pixels, action = rng.integers(0, 256, (total, 12, 12, 3), dtype=np.uint8), rng.normal(size=(total, 2))
    action[offsets + lengths - 1] = np.nan
    arrays = {"pixels": pixels, "action": action.astype(np.float32), "proprio": rng.normal(size=(total, 4))}
    arrays |= {"reward": np.arange(total, dtype=np.float32), "terminated": np.zeros(total, bool)}
    write_hdf5(tmp_path / "push.h5", arrays | {"ep_len": lengths, "ep_offset": offsets.astype(np.int64)})
    import_files("auto", tmp_path / "push.h5", tmp_path / "out", length=3)
    ours = contents(tmp_path / "out" / "train.h5")
    starts = [0, 5, 8, 13, 16]
    np.testing.assert_array_equal(ours["imgs"], np.stack([pixels[s : s + 3] for s in starts]))
    np.testing.assert_array_equal(ours["rewards"][:, 0], starts)
    assert ours["sources"].tolist() == [[0], [1], [1], [2], [2]]
    stored = ours["actions_continuous"]
    np.testing.assert_array_equal(stored[:, :2], np.stack([arrays["action"][s : s + 2] for s in starts]))
    np.testing.assert_array_equal(stored[2, 2], arrays["action"][7])  # led to its first frame, number 8
    assert "3 episodes" in capsys.readouterr().out
