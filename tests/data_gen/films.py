"""Small videos of numbered frames, in every container that a test needs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

STEP = 12  # levels of brightness between two frames, more than compression changes


def numbered(length: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Return frames whose brightness tells their number, with a white corner at the upper left."""
    levels = (np.arange(length) * STEP).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (length, height, width, 3)).copy()
    frames[:, : height // 4, : width // 4] = 255
    return frames


def numbers(frames) -> list[int]:
    """Return the numbers of frames "h w 3", read in their middle."""
    return [round(float(f[f.shape[0] // 2, f.shape[1] // 2].mean()) / STEP) for f in frames]


def film(path: Path, frames: np.ndarray, *options: str, fps: float = 10) -> Path:
    """Encode frames with ffmpeg's options for the output."""
    height, width = frames.shape[1:3]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}", "-i", "-"]
    ffmpeg(*source, *options, f"file:{path}", given=frames.tobytes())
    return path


def ffmpeg(*words: str, given: bytes = b"") -> None:
    """Run ffmpeg, and fail with what it prints."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *words]
    done = subprocess.run(command, input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def gif(path: Path, delays: list[int]) -> Path:
    """Write a GIF of numbered frames as Pillow does, with delays in milliseconds."""
    images = [Image.fromarray(frame) for frame in numbered(len(delays), 8, 8)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays, loop=0)
    return path


def cut_off(path: Path, share: float = 0.6) -> Path:
    """Keep the beginning of a file, as a download that broke off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path
