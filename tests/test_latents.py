"""States as arrays and as a table; frames as people have them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import seqvae
from seqvae import inference
from seqvae.data.conversion import to_frames, to_video
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.types import DataSpec
from tests.models import make, video
from tests.refusals import refusal

SPEC = DataSpec(height=32, width=24, channels=3)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    torch.manual_seed(1)
    return to_frames(video(frames=4, batch=3, channels=3)).numpy()


@pytest.fixture(scope="module")
def model():
    return make("stove", channels=3).requires_grad_(False)


FORMS = {
    "NumPy bytes": lambda x: x,
    "tensor of bytes": torch.as_tensor,
    "colours first": lambda x: x.transpose(0, 1, 4, 2, 3),
    "int64": lambda x: x.astype(np.int64),
    "uint16": lambda x: x.astype(np.uint16),
    "lists": lambda x: [list(sequence) for sequence in x],
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "float32": lambda x: x.astype(np.float32) / np.float32(255),
    "float64": lambda x: x / 255,
    "floats, colours last": lambda x: torch.as_tensor(x).float() / 255,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", FORMS)
def test_frames_of_every_form_give_the_same_states(model, frames, form):
    expected = model.filter(to_video(frames)).z
    assert torch.equal(model.filter(FORMS[form](frames)).z, expected)
    assert torch.equal(model.filter(FORMS[form](frames)[0]).z, model.filter(to_video(frames[:1])).z)


def test_a_tensor_of_the_right_form_is_passed_on_as_it_is():
    for dtype in (torch.float32, torch.float64):
        given = 3 * torch.randn(1, 2, 3, 32, 24, dtype=dtype)
        assert seqvae.as_video(given, SPEC) is given


def test_a_size_decides_between_two_readings():
    wide = DataSpec(height=3, width=8, channels=3)
    pixels = np.arange(2 * 3 * 8 * 3, dtype=np.uint8).reshape(1, 2, 3, 8, 3)
    np.testing.assert_array_equal(seqvae.as_video(pixels, wide), to_video(pixels))
    assert "has two readings" in refusal(seqvae.as_video, pixels[..., :3, :], DataSpec(3, 3, 3))
    assert "has two readings" not in refusal(seqvae.as_video, pixels, DataSpec(8, 8, 3))


BAD = {
    "one image": (np.zeros((32, 24, 3), np.uint8), "a single image as image[None]"),
    "no colours": (np.zeros((1, 2, 32, 24, 2), np.uint8), "has no axis of 3 colours"),
    "bytes in floats": (np.full((2, 32, 24, 3), 255.0), "outside of 0 to 1; give uint8, or divide by 255"),
    "too large": (np.full((2, 32, 24, 3), 256), "outside of 0 to 255"),
    "negative": (np.full((2, 32, 24, 3), -1), "outside of 0 to 255"),
    "booleans": (np.zeros((2, 32, 24, 3), bool), "are of type bool"),
    "text": ("video.mp4", "are of type <U9"),
    "of two sizes": ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "are not all of one size"),
    "none": (np.zeros((0, 32, 24, 3), np.uint8), "so there are none"),
    "another size": (
        np.zeros((2, 48, 40, 3), np.uint8),
        "are 40x48, the model takes 24x32; resize them with",
    ),
    "a tensor of another size": (torch.zeros(1, 2, 3, 48, 40), "are 40x48, the model takes 24x32"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD.keys())
def test_other_frames_are_refused_in_one_line(given, message):
    assert message in refusal(seqvae.as_video, given, SPEC)


def test_missing_frames_may_be_no_numbers(model, frames):
    observed = torch.tensor([[True, True, False, True]]).expand(3, -1)
    blank = frames / 255
    blank[:, 2] = np.nan
    expected = model.filter(to_video(frames), observed=observed).z
    assert torch.equal(model.filter(blank, observed=observed).z, expected)
    np.testing.assert_array_equal(seqvae.latents(model, blank, observed=observed.numpy()).z, expected)


def test_frames_are_resized_on_request_as_videos_are():
    pixels = np.zeros((1, 64, 80, 3), np.uint8)
    pixels[:, 32:, 40:] = 200  # the lower right
    (found,) = seqvae.as_video(pixels, SPEC, resize=True)[0]
    assert found.shape == (3, 32, 24)  # the middle of 48 columns, halved
    expected = torch.zeros(3, 32, 24)
    expected[:, 16:, 12:] = 200 / 255
    assert torch.equal(found, expected)


def test_states_have_names_units_and_a_row_per_sequence_frame_and_slot(model, frames, monkeypatch):
    pytest.importorskip("pandas")
    trace = model.filter(to_video(frames))
    monkeypatch.setattr(inference, "SEQUENCES", 2)  # in blocks
    found = seqvae.latents(model, frames)
    np.testing.assert_allclose(found.z, trace.z, rtol=1e-5, atol=1e-5)
    arrays = found.numpy()
    assert list(arrays) == ["size", "position", "velocity", "latent"]
    np.testing.assert_array_equal(arrays["position"], model.positions(torch.as_tensor(found.z)))
    table = found.frame()
    assert table.shape == (3 * 4 * 3, model.layout.dim)
    assert table.index.names == ["sequence", "frame", "slot"]
    assert list(table)[:7] == [
        "size_x", "size_y", "position_x", "position_y", "velocity_x", "velocity_y", "latent_0"
    ]  # fmt: skip
    assert table.loc[(2, 1, 0), "position_y"] == found.z[2, 1, 0, model.layout["position"]][1]
    assert table.reset_index().slot.max() == 2


def test_states_of_what_was_read_with_its_actions(model, frames):
    read = Sequences("x", frames, prev_actions=np.zeros((3, 4), np.int64), num_actions=9)
    np.testing.assert_array_equal(seqvae.latents(model, read).z, model.filter(to_video(frames)).z)
    one = seqvae.latents(make("air", channels=3), frames[0])
    assert one.z.shape[0] == 1 and one.columns()[:2] == ["presence", "size_x"]


def test_a_table_without_pandas_is_refused(model, frames, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r'a table needs pandas: pip install "seqvae\[pandas\]"'):
        seqvae.latents(model, frames).frame()
