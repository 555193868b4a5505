"""Animated pictures (GIF, WebP, APNG), decoded by Pillow, with the delays that the file holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.media.frames import Frame, lost_frames, over_black, require_held, require_pixels

_FORMATS = ("GIF", "WEBP", "PNG")
_SIGNATURES = (b"GIF8", b"\x89PNG\r\n\x1a\n")


def is_animation(head: bytes) -> bool:
    """Return whether a file that begins with these 16 bytes is a GIF, WebP or PNG file."""
    return head.startswith(_SIGNATURES) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


class Animation:
    """Frames of an animated picture, each once; iterate over it.

    After the last frame:

    notes: lines that say what was changed
    loss: how many frames are missing, None where the file is whole
    """

    tick = 0.01  # seconds; a GIF counts its delays in hundredths
    rounding = 1e-9  # seconds by which its times may be wrong

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.loss: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        with self.path.open("rb") as file:
            try:
                picture = _quietly(Image.open, file, formats=_FORMATS)
            except Exception:  # on a broken file Pillow raises almost anything
                raise DataError(f"{self.path}: is no picture that Pillow can read; copy it again") from None
            with picture:
                require_pixels(self.path, *picture.size)
                yield from self._frames(picture, file)

    def _frames(self, picture: Any, file: BinaryIO) -> Iterator[Frame]:
        is_gif = picture.format == "GIF"
        promised = None if is_gif else int(getattr(picture, "n_frames", 1))  # a GIF does not say
        if promised == 1:
            raise DataError(f"{self.path}: is a still picture, no video; leave it out")
        # an APNG may begin with a picture for programs that cannot show the others
        first = int(bool(getattr(picture, "default_image", False)))
        count, time, broken = 0, 0.0, False
        width, height = picture.size
        while promised is None or first + count < promised:
            require_held(self.path, width, height, count + 1)
            try:
                image = _quietly(_load, picture, first + count)
                duration = float(picture.info.get("duration") or 0) / 1000
                pixels = self._on_black(image)
                broken = pixels.shape[:2] != (height, width)  # damage can make a frame larger
            except EOFError:
                broken = not is_gif or not _has_ended(file)
                break
            except Exception:
                broken = True
            if broken:
                break
            count += 1
            yield Frame(pixels, time, duration)
            time += duration
        if broken:
            self.loss = lost_frames(count, None if promised is None else str(promised - first))

    def _on_black(self, image: Image.Image) -> np.ndarray:
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        return over_black(np.asarray(image.convert("RGBA")), self.notes)


def _load(picture: Any, index: int) -> Image.Image:
    picture.seek(index)
    picture.load()
    return picture


def _has_ended(file: BinaryIO) -> bool:
    """Return whether Pillow met the byte that ends a GIF, and not the end of the file."""
    with suppress(OSError):
        file.seek(-1, 1)
        return file.read(1) == b";"
    return False


def _quietly(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call without the warnings of Pillow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)
