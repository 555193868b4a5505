"""Contact sheets with labels: what each row and each column shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from data_gen.media.overlays import contact_sheet
from seqvae.sequence import SequenceModel
from seqvae.video import latents
from seqvae.video.drawing import as_rgb


@dataclass(frozen=True)
class Sheet:
    """Pictures in rows and columns.

    pictures: "row column h w c"
    rows, columns: labels, one each or none at all; a label may have several lines
    """

    pictures: UInt8[np.ndarray, "row column h w c"]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def draw(self) -> UInt8[np.ndarray, "h w 3"]:
        return contact_sheet(as_rgb(self.pictures), rows=self.rows, columns=self.columns)


def latent_sheets(
    model: SequenceModel, images: UInt8[np.ndarray, "n h w c"] | None, rows: int, columns: int
) -> dict[str, Sheet]:
    """Return the sheets on a model's latent states, by name; without images the samples of the prior alone.

    images: first frames of at least two sequences
    """
    drawn = latents.prior_samples(model, rows, columns)
    samples = Sheet(drawn, numbered("sample", rows), frame_labels(range(columns)))
    if images is None:
        return {"samples": samples}
    varied, numbers = latents.traversals(model, images, rows, columns)
    path = latents.interpolations(model, images[: rows + 1], columns)
    pairs = tuple(f"image {i + 1} to {i + 2}" for i in range(len(path)))
    deviations = np.linspace(-latents.REACH, latents.REACH, columns)
    shown = images[:columns]
    sheets = {
        "samples": samples,
        "reconstructions": Sheet(
            latents.reconstructions(model, shown), ("image", "model"), numbered("image", len(shown))
        ),
        "interpolations": Sheet(path, pairs, tuple(f"{x:.0%}" for x in np.linspace(0, 1, columns))),
        "traversals": Sheet(varied, tuple(numbers), tuple(f"{x:+.1f} std" for x in deviations)),
    }
    of_slots = latents.slots(model, images[: max(rows, columns)])
    if of_slots is not None:
        pictures, parts = of_slots
        sheets["slots"] = Sheet(pictures, numbered("image", len(pictures)), tuple(parts))
    return sheets


def numbered(word: str, count: int) -> tuple[str, ...]:
    """Return "word 1", "word 2", ..."""
    return tuple(f"{word} {i + 1}" for i in range(count))


def frame_labels(times: Iterable[int], context: int | None = None) -> tuple[str, ...]:
    """Return the labels of frames at indices; those after the context are predicted."""
    return tuple(
        f"frame {t + 1}" if context is None or t < context else f"frame {t + 1}\npredicted" for t in times
    )
