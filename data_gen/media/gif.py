"""Writing of GIFs in which every frame is stored.

Pillow and programs built on it merge equal successive frames into one of longer duration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops
from PIL.GifImagePlugin import getdata, getheader

_FOREVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # repeat without end
_END = b";"


def write_gif(file: BinaryIO, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames, uint8 RGB of one size, each with 256 colours of its own.

    Times are hundredths of a second, rounded down. Of each frame the part is stored that differs from the one
    before, or a single pixel if none does.
    """
    before = None
    for t, frame in enumerate(frames):
        image = Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE)
        shown = image.convert("RGB")
        box = (0, 0, *image.size)
        if before is None:
            header, _ = getheader(image.copy())
            file.write(b"".join(header) + _FOREVER)
        else:
            box = ImageChops.difference(before, shown).getbbox() or (0, 0, 1, 1)
        delay = int(100 * (t + 1) // fps - 100 * t // fps)
        part = image.crop(box)
        file.write(b"".join(getdata(part, box[:2], duration=10 * delay, include_color_table=True)))
        before = shown
    file.write(_END)
