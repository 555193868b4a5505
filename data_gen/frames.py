"""Arrays of pictures, as other programs write them: the meaning of their axes, and their levels of white.

    n sequence, t frame, h w picture, c channel: grey (1), RGB (3), RGB and alpha (4)

Whatever has a single sensible meaning is read; for anything else a DataError names the option that says it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_gen.errors import DataError

CHANNELS = (1, 3, 4)

# Names of arrays that other programs store beside pictures, and that may have the shape of some.
NO_PICTURES = {
    *("masks", "mask", "segmentation", "segmentations", "instance_mask", "instance_masks"),
    *("positions", "velocities", "sizes", "colors", "masses", "present", "in_camera", "ids", "layers"),
    *("charges", "edges", "collisions", "actions", "action", "rewards", "reward", "depth", "normals"),
    *("bbox", "bboxes", "boxes", "flow", "forward_flow", "backward_flow"),
}
FRAME_AXES = ("n", "t", "h", "w", "c")

_ONE_PICTURE = ("h w c", "c h w")  # states "n t 4" have these shapes too

WHITE = {"b": 1.0, "u1": 255.0}  # of types without a doubt
_DARK_16_BIT = 2**14  # below it, uint16 may be pictures of 8, 10, 12 or 14 bits

# ---- axes


def parse_layout(layout: str) -> tuple[str, ...]:
    """Return the axes in a text such as "n t h w c".

    Raises:
        DataError: it names other axes, one twice, or no picture.
    """
    axes = tuple(layout.replace(" ", ""))
    if not {"h", "w"} <= set(axes) <= set(FRAME_AXES) or len(set(axes)) < len(axes):
        raise DataError(f'layout={layout}: must name each axis once, of n t h w c, as in layout="n t h w c"')
    return axes


def could_be_pictures(shape: tuple[int, ...], dtype: np.dtype, layout: str | None = None) -> bool:
    """Return whether an array may hold pictures: numbers, and two axes that are longer than channels.

    With a layout, numbers on these axes may.
    """
    if dtype.kind not in "biuf" or 0 in shape:
        return False
    if layout is not None:
        axes = parse_layout(layout)
        return len(axes) == len(shape) and dict(zip(axes, shape, strict=True)).get("c", 1) in CHANNELS
    return any(_is_sensible(axes, shape) for axes in _possible_axes(shape) if axes not in _ONE_PICTURE)


def has_channels(shape: tuple[int, ...]) -> bool:
    """Return whether a shape may have an axis of channels beside two longer ones of a picture."""
    return any(_is_sensible(axes, shape) for axes in _possible_axes(shape) if "c" in axes)


def find_axes(
    name: str, shape: tuple[int, ...], layout: str | None = None, first: str | None = None
) -> tuple[str, ...]:
    """Return the axes of an array of pictures, such as ("n", "t", "h", "w", "c").

    name: file and key, for messages
    first: the first axis of an array that lacks sequences or frames, "n" (single images) or "t" (one
        sequence); None: not known

    Raises:
        DataError: the shape has no meaning, or several.
    """
    if layout is not None:
        return _given_axes(name, shape, layout)
    found = _possible_axes(shape)
    sensible = [axes for axes in found if _is_sensible(axes, shape)]
    readings = sensible or found
    if not readings or 0 in shape:
        raise DataError(f"{name}: has shape {shape}, must be pictures such as n t h w c; has it any frames?")
    if len(readings) > 1:
        readings = _prefer_rgb(readings, shape)
    texts = [text for axes in readings for text in _complete(axes, first)]
    if len(texts) > 1:
        ways = " or ".join(f'layout="{text}"' for text in texts)
        raise DataError(f"{name}: shape {shape} can mean several things; say {ways}")
    return tuple(texts[0].split())


def _given_axes(name: str, shape: tuple[int, ...], layout: str) -> tuple[str, ...]:
    axes = parse_layout(layout)
    if len(axes) != len(shape):
        raise DataError(f'{name}: has shape {shape}, which layout="{layout}" does not fit')
    sizes = dict(zip(axes, shape, strict=True))
    if sizes.get("c", 1) not in CHANNELS or 0 in shape:
        raise DataError(
            f'{name}: has shape {shape}, so layout="{layout}" has {sizes.get("c", 1)} channels; '
            "must be 1 (grey), 3 (RGB) or 4 (RGB and alpha)"
        )
    return axes


def _possible_axes(shape: tuple[int, ...]) -> list[str]:
    """Return the axes that a shape allows; x is either sequences or frames."""
    texts = {3: "x h w, h w c, c h w", 4: "x h w c, x c h w, n t h w, t n h w, c t h w"}
    texts[5] = "n t h w c, n t c h w, n c t h w"
    return [
        text
        for text in texts.get(len(shape), "").split(", ")
        if text and dict(zip(text.split(), shape, strict=True)).get("c", 1) in CHANNELS
    ]


def _is_sensible(axes: str, shape: tuple[int, ...]) -> bool:
    """Return whether both sides of the picture are longer than any axis of channels."""
    sizes = dict(zip(axes.split(), shape, strict=True))
    return min(sizes["h"], sizes["w"]) > max(CHANNELS)


def _prefer_rgb(readings: list[str], shape: tuple[int, ...]) -> list[str]:
    """Take RGB with channels first for what it is, unless another axis could be the channels as well."""
    rgb = [axes for axes in readings if dict(zip(axes.split(), shape, strict=True)).get("c") == 3]
    leading = shape[: len(shape) - 2]
    if len(rgb) == 1 and sum(size in CHANNELS for size in leading) == 1 and rgb[0] == "x c h w":
        return rgb
    return readings


def _complete(axes: str, first: str | None) -> list[str]:
    """Replace an axis x by what it is known to be, or by both possibilities."""
    if "x" not in axes:
        return [axes]
    return [axes.replace("x", letter) for letter in ([first] if first else "tn")]


# ---- white


@dataclass(frozen=True)
class Levels:
    """Range of the numbers in arrays of one kind of type.

    kind: b, u1 (uint8), u2 (uint16), i (other whole numbers) or f
    low, high: smallest and largest number, NaN if one is
    whole: whether all are whole numbers
    opaque: whether alpha, if there is any, is at its largest everywhere
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = True
    opaque: bool = True


def kind_of(dtype: np.dtype) -> str:
    """Return the kind of a type, as in Levels."""
    if dtype.kind in "bf":
        return dtype.kind
    code = f"{dtype.kind}{dtype.itemsize}"
    return code if code in ("u1", "u2") else "i"


def measure(blocks: Iterable[np.ndarray], kind: str) -> Levels:
    """Return the range of the numbers in blocks "... c"; alpha counts for `opaque` only."""
    low, high, whole = math.inf, -math.inf, True
    lowest_alpha, highest_alpha = math.inf, -math.inf
    for block in blocks:
        if block.shape[-1] == 4:
            lowest_alpha = min(lowest_alpha, float(block[..., 3].min()))
            highest_alpha = max(highest_alpha, float(block[..., 3].max()))
            block = block[..., :3]
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        if not math.isfinite(float(block.min()) + float(block.max())):
            low = high = math.nan
            break
        whole = whole and (kind != "f" or bool((np.trunc(block) == block).all()))
    return Levels(kind, low, high, whole, lowest_alpha == highest_alpha or lowest_alpha == math.inf)


def join_levels(levels: Iterable[Levels]) -> dict[str, Levels]:
    """Return the range of all arrays together, by the kind of their type."""
    joined: dict[str, Levels] = {}
    for new in levels:
        old = joined.get(new.kind, new)
        low, high = np.minimum(old.low, new.low), np.maximum(old.high, new.high)  # NaN stays
        joined[new.kind] = Levels(
            new.kind, float(low), float(high), old.whole and new.whole, old.opaque and new.opaque
        )
    return joined


def find_white(name: str, levels: Levels, scale: float | None = None) -> float:
    """Return the number that is white: 1, 255, 65535, or what `scale` says.

    Raises:
        DataError: numbers lie outside 0 to white, or the range can mean several things.
    """
    low, high = levels.low, levels.high
    span = f"{name}: holds numbers from {low:g} to {high:g}"
    if not low >= 0:  # also NaN
        raise DataError(f"{span}; bring them to 0 ... 1 first, and import with scale=1")
    if scale is not None:
        if high > scale:
            raise DataError(f"{span}, more than scale={scale:g}; scale= is the number that is white")
        return scale
    if levels.kind in WHITE:
        return WHITE[levels.kind]
    if levels.kind == "u2":
        guess = 65535.0 if high == 0 or high >= _DARK_16_BIT else None
    elif levels.kind == "i":
        guess = 255.0 if high == 0 or (levels.whole and 1 < high <= 255) else None
    else:
        guess = 1.0 if high <= 1 else 255.0 if levels.whole and high <= 255 else None
    if guess is None:
        known = "scale=1, scale=255" if high <= 1 else "scale=255, scale=65535"
        raise DataError(f"{span}; say which number is white: {known} or another")
    return guess


def to_rgb(pictures: np.ndarray, white: float) -> np.ndarray:
    """Convert pictures "... h w c" to uint8 "... h w 3", as floor(255 x / white + 0.5).

    Grey is repeated; pictures with alpha are laid on black.
    """
    if pictures.dtype == np.uint8 and white == 255:
        levels = pictures
    elif pictures.dtype == bool:
        levels = pictures * np.uint8(255)
    else:
        wide = pictures.astype(np.float32) if pictures.dtype == np.float16 else pictures
        levels = np.floor(wide * (255.0 / white) + 0.5).astype(np.uint8)
    if levels.shape[-1] == 4:
        alpha = levels[..., 3:].astype(np.uint32)
        return ((levels[..., :3] * alpha * 2 + 255) // 510).astype(np.uint8)
    return np.broadcast_to(levels, (*levels.shape[:-1], 3))
