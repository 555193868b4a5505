"""Pictures in folders: a folder per sequence, in natural order of the names, or single images.

PNG, JPEG, TIFF, BMP and WebP, of any colours: palettes, grey, 16 bits, alpha (laid on black), turned as their
EXIF data say. A TIFF of several pages is a sequence. Masks are pictures of labels (grey, or palette indices)
under the same names in a folder of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from data_gen.errors import DataError
from data_gen.formats import AUTO, ForeignSplit, ImportOptions
from data_gen.formats.cutting import Video, cut
from data_gen.formats.labels import to_uint8
from data_gen.formats.notes import merge_notes
from data_gen.formats.picture_folders import PICTURES, find_sequences, open_picture
from data_gen.formats.resizing import Resizing
from data_gen.frames import Levels, find_white, to_rgb
from data_gen.splits import SPLITS

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # modes of Pillow for grey of 16 bits
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class _Page:
    """A picture: page `number` of a file; height and width as it is shown; mode of Pillow."""

    file: Path
    number: int
    size: tuple[int, int]
    mode: str
    has_alpha: bool


def read(path: Path, options: ImportOptions) -> Iterator[ForeignSplit]:
    """Read the splits of a folder of pictures, or of one picture.

    Raises:
        DataError: the folder mixes kinds, pictures differ in size, or may be single images or one sequence.
    """
    sequences, notes = find_sequences(path, options)
    pages: dict[str | None, list[list[_Page]]] = {}
    for sequence in sequences:
        pages.setdefault(sequence.split, []).append([p for file in sequence.files for p in _pages(file)])
    flat = [page for group in pages.values() for sequence in group for page in sequence]
    _require_one_size(flat, options)
    notes += _notes(path, flat, options)
    masks = None if options.masks in (None, AUTO) else _Masks(path, Path(str(options.masks)))
    made: dict[str, list[Video]] = {}
    named = options.split is None and not (options.val or options.test)
    if len(pages) > 1 and not named and options.split is None:
        raise DataError(
            f"val={options.val} test={options.test}: {path} names its splits itself; leave them out"
        )
    for split, group in pages.items():
        key = (split or "train") if named else "all"
        made.setdefault(key, []).extend(_video(sequence, options, masks) for sequence in group)
    for split in (*SPLITS, "all"):
        if split in made:
            chosen = replace(options, split=split) if named else options
            yield from cut(made[split], chosen, merge_notes(notes))
            notes = []


# ---- pictures


def _pages(file: Path) -> list[_Page]:
    with open_picture(file) as image:
        count = getattr(image, "n_frames", 1) if file.suffix.lower() in (".tif", ".tiff") else 1
        pages = []
        for number in range(count):
            if count > 1:
                image.seek(number)
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            alpha = "A" in image.getbands() or "transparency" in image.info
            pages.append(_Page(file, number, (height, width), image.mode, alpha))
        return pages


def _require_one_size(pages: Sequence[_Page], options: ImportOptions) -> None:
    first = pages[0]
    for page in pages:
        if options.image_size is None and page.size != first.size:
            (h, w), (height, width) = page.size, first.size
            raise DataError(
                f"{page.file}: is {w}x{h}, {first.file.name} {width}x{height}; image_size=64 brings them to "
                "one size"
            )


def _notes(path: Path, pages: Sequence[_Page], options: ImportOptions) -> list[str]:
    notes = []
    if any(page.has_alpha for page in pages):
        notes.append(f"{path}: pictures with alpha are laid on black")
    if any(page.mode in _DEEP for page in pages):
        notes.append(f"{path}: pictures of 16 bits, {options.scale or 65535:g} is white")
    sizes = dict.fromkeys(page.size for page in pages)
    for size in sizes:
        notes += Resizing.of(size, options).note(str(path))
    return notes


def _video(pages: list[_Page], options: ImportOptions, masks: _Masks | None) -> Video:
    size = Resizing.of(pages[0].size, options).new

    def frame(page: _Page) -> np.ndarray:
        return Resizing.of(page.size, options).frames(_decode(page, options))

    frames = _Decoded(tuple(pages), frame, (len(pages), *size, 3))
    name = str(pages[0].file if len(pages) == 1 else pages[0].file.parent)
    truth: dict[str, Any] = {}
    if masks is not None:
        read_mask = masks.reader(options)
        truth = {"masks": _Decoded(tuple(pages), read_mask, (len(pages), *size), lambda x: to_uint8(name, x))}
    return Video(name, frames, truth)


@dataclass(frozen=True)
class _Decoded:
    """Pictures of a sequence, decoded when they are sliced."""

    pages: tuple[_Page, ...]
    decode: Callable[[_Page], np.ndarray]
    shape: tuple[int, ...]
    finish: Callable[[np.ndarray], np.ndarray] = lambda frames: frames

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, time: slice) -> np.ndarray:
        return self.finish(np.stack([self.decode(page) for page in self.pages[time]]))


def _decode(page: _Page, options: ImportOptions) -> np.ndarray:
    """Return a picture as uint8 "h w 3"."""
    image = _upright(page)
    if image.mode in _DEEP or image.mode == "F":
        levels = np.asarray(image)[..., None]
        found = Levels("f", float(levels.min()), float(levels.max()))
        if image.mode == "F" and options.scale is None:
            raise DataError(f"{page.file}: holds floats; say which number is white: scale=1 or 255")
        scale = options.scale or 65535.0
        return to_rgb(levels, find_white(str(page.file), found, scale))
    is_clear = page.has_alpha or image.mode in ("LA", "PA", "RGBa", "La")
    return to_rgb(np.asarray(image.convert("RGBA" if is_clear else "RGB")), 255.0)


def _upright(page: _Page) -> Image.Image:
    with open_picture(page.file) as image:
        if page.number:
            image.seek(page.number)
        image.load()
        return ImageOps.exif_transpose(image) or image


@dataclass(frozen=True)
class _Masks:
    """Pictures of labels in `folder`, with the paths of the pictures in `root`, but for their suffix."""

    root: Path
    folder: Path

    def reader(self, options: ImportOptions) -> Callable[[_Page], np.ndarray]:
        """Return the function that reads the labels of a picture, int64 "h w"."""

        def read_mask(page: _Page) -> np.ndarray:
            image = _upright(replace(page, file=self._file(page)))
            labels = np.asarray(image).astype(np.int64)
            if labels.ndim != 2 or labels.shape != page.size:
                raise DataError(
                    f"{self._file(page)}: has shape {labels.shape}, must be {page.size}, grey or palette"
                )
            return Resizing.of(page.size, options).labels(labels)

        return read_mask

    def _file(self, page: _Page) -> Path:
        inside = page.file.relative_to(self.root if self.root.is_dir() else self.root.parent)
        for suffix in (page.file.suffix, *PICTURES):
            file = (self.folder / inside).with_suffix(suffix)
            if file.is_file():
                return file
        raise DataError(
            f"{self.folder / inside}: no mask of {page.file}; masks= is a folder with the same names"
        )
