"""Masks of other programs as labels: 0 for the background, k + 1 for object k."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.lazy import LazyArray

_LABELS = ("n", "t", "h", "w")
_LAYERS = ("n", "t", "k", "h", "w")


@dataclass(frozen=True)
class Masks:
    """Masks of the frames, read as labels of any whole numbers, with notes on what was done to them."""

    labels: LazyArray
    notes: tuple[str, ...]


def read_masks(name: str, path: Path, source: Any, lead: tuple[str, ...], size: tuple[int, int]) -> Masks:
    """Return labels "n t h w" that are 0 or more, from labels or from a layer per object.

    name: file and key, for messages
    source: an array of NumPy, h5py or zarr in the file `path`
    lead: the axes of the frames before those of the picture
    size: height and width of the frames

    Raises:
        DataError: the masks have another size, or their values are neither labels nor layers.
    """
    axes = _find_axes(name, tuple(source.shape[len(lead) :]), size)
    if source.dtype.kind not in "biuf":
        raise DataError(f"{name}: has type {source.dtype}, must hold numbers")
    if "k" in axes:
        layers = LazyArray(path, source, (*lead, *axes), (*_LAYERS, "c"))
        return _from_layers(name, layers)
    labels = LazyArray(path, source, (*lead, *axes), (*_LABELS, "c"), lambda x: x[..., 0])
    return _from_labels(name, labels)


def _find_axes(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[str, ...]:
    """Return the axes of the masks after those of sequences and frames."""
    possible = {2: ["h w"], 3: ["h w c", "c h w", "k h w", "h w k"], 4: ["k h w c", "k c h w"]}
    found = []
    for text in possible.get(len(shape), []):
        sizes = dict(zip(text.split(), shape, strict=True))
        if (sizes["h"], sizes["w"]) == size and sizes.get("c", 1) == 1 and sizes.get("k", 2) > 1:
            found.append(text)
    if len(found) != 1:
        h, w = size
        raise DataError(
            f"{name}: has shape ... {shape}, must be labels {h} {w} or {h} {w} 1, or a layer per object, "
            f"k {h} {w}, k {h} {w} 1 or {h} {w} k; masks=null leaves them out"
        )
    return tuple(found[0].split())


# ---- labels


def _from_labels(name: str, labels: LazyArray) -> Masks:
    low, high, whole = _range(labels.blocks())
    if not whole:
        raise DataError(
            f"{name}: holds numbers from {low:g} to {high:g} that are not whole, and labels are; "
            "take the largest of soft masks first, or masks=null leaves them out"
        )
    if low < -1:
        raise DataError(f"{name}: holds labels down to {low:g}, must be 0 or more, or -1 for the background")
    notes = []
    if low == -1:
        notes.append(f"{name}: -1 is the background, so every label is one higher")
    if high - min(low, 0) > 255:
        notes.append(f"{name}: labels up to {high:g} are numbered anew, in each sequence with any above 255")
    shift, read = int(min(low, 0)), labels.convert
    dtype = np.uint8 if shift == 0 and high <= 255 else np.int64
    return Masks(labels.with_convert(lambda block: read(block).astype(dtype) - dtype(shift)), tuple(notes))


def _range(blocks: Iterator[np.ndarray]) -> tuple[float, float, bool]:
    low, high, whole = np.inf, -np.inf, True
    for block in blocks:
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        whole = (
            whole
            and bool(np.isfinite(low + high))
            and (block.dtype.kind != "f" or bool((np.trunc(block) == block).all()))
        )
    return low, high, whole


# ---- layers


def _from_layers(name: str, layers: LazyArray) -> Masks:
    """Read a layer per object; if they cover every pixel, the first one is the background."""
    covers, top = True, 0.0
    for block in layers.blocks():
        high = float(block.max())
        if high > 0:
            top = top or high
        is_zero = block == 0
        if not (is_zero | (block == (top or 1))).all() or (~is_zero).sum(2).max() > 1:
            raise DataError(
                f"{name}: holds a layer per object that is not 0 or {top or 1:g} with one object per pixel; "
                "take the largest of soft masks first, or masks=null leaves them out"
            )
        covers = covers and bool((~is_zero).any(2).all())
    if covers:
        note = f"{name}: a layer per object, the first one is the background"
    else:
        note = f"{name}: a layer per object, and pixels without any are background"

    def convert(block: np.ndarray) -> np.ndarray:
        on = block[..., 0] != 0  # n t k h w
        return np.where(on.any(2), on.argmax(2) + (not covers), 0).astype(np.int32)

    return Masks(LazyArray(layers.path, layers.source, layers.axes, layers.target, convert), (note,))


def to_uint8(name: str, labels: np.ndarray) -> np.ndarray:
    """Return the labels of a sequence as uint8, numbered anew in their order if one is above 255.

    Raises:
        DataError: there are more than 255 besides the background.
    """
    if labels.dtype == np.uint8:
        return labels
    if labels.max() <= 255:
        return labels.astype(np.uint8)
    used = np.unique(labels)
    used = used[used > 0]
    if len(used) > 255:
        raise DataError(f"{name}: has {len(used)} labels in a sequence, must be at most 255")
    return np.where(labels > 0, np.searchsorted(used, labels) + 1, 0).astype(np.uint8)
