"""Every frame is in the file once and in order; a failed write leaves nothing behind."""

from __future__ import annotations

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from data_gen.errors import DataError
from data_gen.media.writing import write_png, write_video

BITS, SQUARE = 8, 16


def numbered(t: int) -> np.ndarray:
    """Draw t in binary, as white and black squares that survive compression."""
    bits = np.array([t >> b & 1 for b in range(BITS)], dtype=np.uint8) * 255
    row = bits.repeat(SQUARE)
    return np.broadcast_to(row[None, :, None], (SQUARE, BITS * SQUARE, 3)).copy()


def number(frame: np.ndarray) -> int:
    bits = frame[SQUARE // 2, SQUARE // 2 :: SQUARE, 0][:BITS] > 127
    return int(sum(1 << b for b in np.flatnonzero(bits)))


def read_mp4(path):
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader], meta["fps"]


@pytest.mark.parametrize(("length", "fps"), [(1, 10), (61, 7), (100, 10), (115, 30)])
def test_mp4_has_every_frame_once(tmp_path, length, fps):
    """61 frames at 7 per second: a clip of 61 / 7 seconds would lose its last frame to rounding."""
    write_video(tmp_path / "a.mp4", [numbered(t) for t in range(length)], fps)
    frames, rate = read_mp4(tmp_path / "a.mp4")
    assert [number(f) for f in frames] == list(range(length))
    assert rate == fps


def test_gif_has_every_frame_once_at_the_right_time(tmp_path):
    write_video(tmp_path / "a.gif", [numbered(t) for t in range(40)], fps=10)
    with Image.open(tmp_path / "a.gif") as gif:
        frames = ImageSequence.Iterator(gif)
        shown = [(number(np.asarray(f.convert("RGB"))), f.info["duration"]) for f in frames]
    assert shown == [(t, 100) for t in range(40)]  # milliseconds


def test_odd_sizes_become_even(tmp_path):
    frame = numbered(5)[:15, :127]
    write_video(tmp_path / "a.mp4", [frame] * 3)
    frames, _ = read_mp4(tmp_path / "a.mp4")
    assert frames[0].shape == (16, 128, 3) and [number(f) for f in frames] == [5, 5, 5]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"old")

    class Breaks(list):
        left = 4

        def __getitem__(self, t):
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("no frame")
            return super().__getitem__(t)

    with pytest.raises(RuntimeError, match="no frame"):
        write_video(tmp_path / "a.mp4", Breaks(numbered(t) for t in range(20)))
    assert [f.name for f in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.avi: videos are written as \.mp4 or \.gif"):
        write_video(tmp_path / "a.avi", [numbered(0)])
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [])


def test_png_keeps_every_pixel_and_makes_its_folder(tmp_path, rng):
    image = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), image)
