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
from seqvae.train.encodings import EncodingBatch, track_slots
from seqvae.train.stages import TrainerOptions

QUANTITIES = {  # criterion -> quantities, of which the first one that exists counts; else the objective
    "pixels": ("pixel_mse",),
    "positions": ("position_error", "pixel_mse"),
    "objective": (),
}
SEGMENTED = ("fg_ari_attention", "fg_ari_reconstruction", "fg_ari_at_10")
RECONSTRUCTION = ("position_error_reconstruction", "pixel_mse_reconstruction")
PREDICTION = ("position_error_1_10", "pixel_mse_1_10")
OUTCOMES = ("reward", "end")  # log p of rewards and ends, nats per frame, of models that know of them
REPORTED = ("objective", *OUTCOMES, *RECONSTRUCTION, *PREDICTION, "found", *SEGMENTED, "count_accuracy")
SHOWN = 4  # sequences in the picture
COLUMNS = 12  # frames of each


@dataclass(frozen=True)
class Report:
    """The result of a validation.

    criterion: number that chooses the best checkpoint, lower is better
    images: pictures for the log, by name
    chosen_by: name of the criterion
    """

    scores: Mapping[str, float]
    criterion: float
    images: Mapping[str, Float[Tensor, "c h w"]] = field(default_factory=dict)
    chosen_by: str = "objective"

    def __str__(self) -> str:
        shown = "  ".join(f"{name} {value:.4g}" for name, value in self.scores.items() if name in REPORTED)
        return f"{shown}  (best by {self.chosen_by})"


class Validation:
    """Scores a model on the first sequences of a validation set.

    The objective as a criterion is taken at progress 1, with the final weights of its terms.

    source: input of the objective, "frames", or else their encodings

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
        arrays = {"imgs": self.sequences.frames} | self.sequences.interaction()
        request = ClipRequest(0, len(self.sequences), options.clip_length, Stream.VALIDATION_CLIPS)
        self.batch = InMemoryClips(arrays, device, sequences.name).batch(request)

    def __call__(self, model: SequenceModel) -> Report:
        with torch.no_grad():
            batch = self.batch
            if self.source != "frames":
                encoding = track_slots(model, model.frame.encode(batch.video))
                batch = EncodingBatch(encoding, batch.prev_actions, batch.rewards, batch.ends)
            terms, _ = self.objective(model, batch, 1.0)
        objective = terms.objective().mean().item()
        found = score(model, self.sequences, self.context, self.horizon, decode=True, baselines=False)
        scores = found.numbers()
        near = f"1_{min(SHORT, self.horizon)}"
        columns = [f"{quantity}_{near}" for quantity in QUANTITIES[self.options.criterion]]
        chosen_by = next((name for name in columns if name in scores), "objective")
        criterion = scores.get(chosen_by, -objective)
        bound = {"bound": terms.bound_per_frame().item()} if terms.bounded else {}
        outcomes = {name: terms.per_frame(name).item() for name in OUTCOMES if name in terms.values}
        scores = {"objective": objective} | bound | outcomes | scores
        # a model that predicts nothing finite is worse than any that does
        criterion = math.inf if math.isnan(criterion) else criterion
        return Report(scores, criterion, {"truth above model": self._picture(model)}, chosen_by)

    def _picture(self, model: SequenceModel) -> Float[Tensor, "3 h w"]:
        """Draw, per sequence, a row of true frames above a row of the model's, context and future."""
        shown, context = self.sequences.first(SHOWN), self.context
        rollout = roll_out(model, shown.frames, shown.prev_actions, context, self.horizon, decode=True)
        times = np.unique(np.linspace(0, context + self.horizon - 1, COLUMNS).astype(int))
        assert rollout.frames is not None  # decoded
        true, imagined = torch.as_tensor(shown.frames[:, times]), torch.as_tensor(rollout.frames[:, times])
        rows = torch.stack([true.float() / 255, imagined])
        return rearrange(rows, "row n t h w c -> c (n row h) (t w)")
