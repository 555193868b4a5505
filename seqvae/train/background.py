"""The image behind the objects, from the training data: the median over frames."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.data.clips import Video
from seqvae.data.interaction import Interaction

AT_ONCE, READS = 16, 8  # sequences
FRAMES = 4  # of each sequence, evenly spaced


def median_frame(sequences: Iterable[tuple[int, Video, Interaction]]) -> Float[Tensor, "c h w"]:
    """Return the median over frames of the first sequences, pixel by pixel, on the CPU.

    It shows what lies behind objects that cover a pixel in less than half of the frames.

    sequences: `full_sequences(AT_ONCE)` of clips
    """
    frames = [
        video[:, _spaced(video.shape[1])].flatten(0, 1).cpu() for _, video, _ in islice(sequences, READS)
    ]
    return torch.cat(frames).median(0).values


def _spaced(length: int) -> Int[np.ndarray, " n"]:
    return np.unique(np.linspace(0, length - 1, FRAMES).astype(int))
