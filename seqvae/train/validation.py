"""Validation during training: the evaluation protocol on a few sequences, the objective, and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.sequences import Sequences
from seqvae.evaluate import score
from seqvae.evaluate.protocol import usable_lengths
from seqvae.evaluate.scores import SHORT
from seqvae.objectives import Objective
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.streams import Stream
from seqvae.train.encodings import EncodingBatch, tracked
from seqvae.train.stages import TrainerOptions

QUANTITIES = {  # of each criterion, the first quantity that there is; else the objective
    "pixels": ("pixel_mse",),
    "positions": ("position_error", "pixel_mse"),
    "objective": (),
}
SEGMENTED = ("fg_ari_attention", "fg_ari_reconstruction", "fg_ari_at_10")
RECONSTRUCTION = ("position_error_reconstruction", "pixel_mse_reconstruction")
PREDICTION = ("position_error_1_10", "pixel_mse_1_10")
TOLD = ("objective", *RECONSTRUCTION, *PREDICTION, "found", *SEGMENTED, "count_accuracy")
SHOWN = 4  # sequences in the picture
COLUMNS = 12  # frames of each


@dataclass(frozen=True)
class Report:
    """What a validation found.

    criterion: the one number, lower is better, that picks the best checkpoint. chosen_by: its name.
    """

    scores: Mapping[str, float]
    criterion: float
    images: Mapping[str, Float[Tensor, "c h w"]] = field(default_factory=dict)
    chosen_by: str = "objective"

    def __str__(self) -> str:
        told = "  ".join(f"{name} {value:.4g}" for name, value in self.scores.items() if name in TOLD)
        return f"{told}  (best by {self.chosen_by})"


class Validation:
    """Scores a model on the first sequences of a validation set; the same ones every time.

    The criterion is that of the options: by default the pixel error of predicted frames 1-10, which needs no
    labels. Minus the objective is taken at progress 1, so with the final weights of its terms.

    source: what the objective reads: "frames", or else their encoding.

    Raises:
        UserError: the sequences are too short for context, horizon or clips.
    """

    def __init__(
        self,
        sequences: Sequences,
        objective: Objective,
        options: TrainerOptions,
        device: torch.device,
        source: str = "frames",
    ):
        self.source = source
        self.objective, self.options = objective, options
        self.sequences = sequences.first(options.validation_sequences)
        self.context, self.horizon = usable_lengths(self.sequences, options.context, options.horizon)
        arrays = {"imgs": self.sequences.frames}
        if self.sequences.prev_actions is not None:
            arrays["prev_actions"] = self.sequences.prev_actions
        request = ClipRequest(0, len(self.sequences), options.clip_length, Stream.VALIDATION_CLIPS)
        self.batch = InMemoryClips(arrays, device, sequences.name).batch(request)

    def __call__(self, model: SequenceModel) -> Report:
        with torch.no_grad():
            batch = self.batch
            if self.source != "frames":
                encoding = tracked(model, model.frame.encode(batch.video))
                batch = EncodingBatch(encoding, batch.prev_actions)
            terms, _ = self.objective(model, batch, 1.0)
        objective = terms.objective().mean().item()
        found = score(model, self.sequences, self.context, self.horizon, decode=True, baselines=False)
        scores = found.numbers()
        near = f"1_{min(SHORT, self.horizon)}"
        columns = [f"{quantity}_{near}" for quantity in QUANTITIES[self.options.criterion]]
        chosen_by = next((name for name in columns if name in scores), "objective")
        criterion = scores.get(chosen_by, -objective)
        bound = {"bound": terms.bound_per_frame().item()} if terms.bounded else {}
        scores = {"objective": objective} | bound | scores
        # a model that predicts nothing finite is worse than any that does
        criterion = math.inf if math.isnan(criterion) else criterion
        return Report(scores, criterion, {"truth above model": self._picture(model)}, chosen_by)

    def _picture(self, model: SequenceModel) -> Float[Tensor, "3 h w"]:
        """For a few sequences a row of true frames above a row of the model's, context and future."""
        shown, context = self.sequences.first(SHOWN), self.context
        rollout = roll_out(model, shown.frames, shown.prev_actions, context, self.horizon, decode=True)
        times = np.unique(np.linspace(0, context + self.horizon - 1, COLUMNS).astype(int))
        rows = torch.stack(
            [torch.as_tensor(shown.frames[:, times]).float() / 255, torch.as_tensor(rollout.frames[:, times])]
        )
        return rearrange(rows, "row n t h w c -> c (n row h) (t w)")
