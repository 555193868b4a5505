"""The states that a model infers from videos, as arrays and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.data.conversion import as_video
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.sequence import SequenceModel
from seqvae.tree import short_repr

if TYPE_CHECKING:
    import pandas

SEQUENCES = 64  # filtered at once
PLANE = ("position", "velocity", "size")  # fields whose two numbers belong to x and y


@dataclass(frozen=True)
class Latents:
    """States of all slots in all frames of some sequences.

    A position (x, y) runs from -1 to 1 over the picture, x to the right in half-widths and y down in
    half-heights. Sizes, half the width and height of a box, are in the same units; velocities are in these
    units per frame. Presence is 1 or 0, and an absent slot has zeros everywhere. Other numbers have no unit.

    z: b t k d, states
    layout: names of the numbers in d
    """

    __repr__ = short_repr

    z: Float[np.ndarray, "b t k d"]
    layout: StateLayout

    def numpy(self) -> dict[str, np.ndarray]:
        """Return an array "b t k n" per field of the layout: `position`, `velocity`, `latent`, ..."""
        return {field.name: self.z[..., self.layout[field.name]] for field in self.layout.fields}

    def columns(self) -> list[str]:
        """Return a name per number in d: `position_x`, `position_y`, ..., `latent_0`, `latent_1`, ..."""
        return list(_names(self.layout))

    def frame(self) -> pandas.DataFrame:
        """Return a table with a row per sequence, frame and slot, which count from 0, and `columns`.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError('a table needs pandas: pip install "seqvae[pandas]"') from None
        index = pandas.MultiIndex.from_product(
            [range(n) for n in self.z.shape[:3]], names=["sequence", "frame", "slot"]
        )
        return pandas.DataFrame(self.z.reshape(len(index), -1), index, self.columns())


def latents(
    model: SequenceModel,
    frames: Any,
    prev_actions: Any = None,
    observed: Any = None,
    sample: bool = False,
    resize: bool = False,
) -> Latents:
    """Return the states that a model infers from frames, each from its own frame and the earlier ones.

    frames: as `as_video` takes them, for instance uint8 "t h w 3"; or the result of `seqvae.read`, whose
        actions are then used
    prev_actions: "b t", the action that led to each frame, for models that follow actions
    observed: "b t", False marks a missing frame
    sample: draw states from the posterior instead of taking point estimates
    resize: make frames of another size fit the model

    Raises:
        UserError: frames or actions do not fit the model.
    """
    if isinstance(frames, Sequences):
        actions = frames.prev_actions if model.actions else None
        prev_actions = actions if prev_actions is None else prev_actions
        frames = frames.frames
    found = []
    # bytes become floats of four times the memory, so only of some sequences at once
    for block in _blocks(frames):
        where = next(model.parameters()).device
        given = [None if x is None else torch.as_tensor(x)[block].to(where) for x in (prev_actions, observed)]
        video = as_video(frames[block], model.spec, resize).to(where)
        with torch.no_grad():
            found.append(model.filter(video, given[0], observed=given[1], sample=sample).z.cpu())
    return Latents(torch.cat(found).numpy(), model.layout)


def _blocks(frames: Any) -> Iterator[slice]:
    """Yield slices of the batch axis; of a single sequence, and of lists, one slice of everything."""
    if not isinstance(frames, (Tensor, np.ndarray)) or frames.ndim != 5:
        yield slice(None)
        return
    for first in range(0, max(1, len(frames)), SEQUENCES):
        yield slice(first, first + SEQUENCES)


def _names(layout: StateLayout) -> Iterator[str]:
    for field in layout.fields:
        if field.size == 1:
            yield field.name
        elif field.name in PLANE and field.size == 2:
            yield from (f"{field.name}_x", f"{field.name}_y")
        else:
            yield from (f"{field.name}_{i}" for i in range(field.size))
