"""The options of a training, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqvae.train.budget import Budget
from seqvae.types import UserError

DEVICES = ("auto", "cpu", "cuda")
COUNTS = ("batch_size", "clip_length", "log_every", "validate_every", "context", "validation_sequences")
PRECISIONS = ("float32", "bf16")
CRITERIA = {  # name -> in words
    "pixels": "the pixel error of predicted frames 1-10, without labels",
    "objective": "the objective, without labels",
    "positions": "the error of predicted positions 1-10, by the true states",
}
OLDER_CRITERION = "positions"  # of runs from before there was a choice


@dataclass(frozen=True)
class Options:
    """How to train, apart from model, data, objective and optimiser.

    steps, minutes: the budget (seqvae.train.budget). batch_size: sequences an update, over all processes
    together. clip_length: frames a sequence. log_every, validate_every: in steps. checkpoint_seconds: the
    most that a killed training loses. context, horizon: frames seen and predicted in validation; by default
    92 are predicted, or what the data has.
    validation_sequences: how many of the validation set's first sequences are used. criterion: what chooses
    the best checkpoint: "pixels", the error of predicted frames 1-10; the "objective"; or "positions", the
    error of predicted positions 1-10, which looks at the true states. Without positions "positions" is
    "pixels", and without predicted frames, as with single images, that is the objective.
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 64
    clip_length: int = 8
    log_every: int = 100
    validate_every: int = 1000
    checkpoint_seconds: float = 30.0
    context: int = 8
    horizon: int | None = None
    validation_sequences: int = 100
    criterion: str = "pixels"

    def __post_init__(self):
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise UserError(f"trainer.{name}={getattr(self, name)}: expected a whole number from 1")
        if self.checkpoint_seconds < 0:
            raise UserError(f"trainer.checkpoint_seconds={self.checkpoint_seconds}: expected 0 or more")
        if self.criterion not in CRITERIA:
            raise UserError(f"trainer.criterion={self.criterion}: expected {', '.join(CRITERIA)}")
        self.budget  # noqa: B018  says at once if there is none

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.minutes)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device for `auto` (CUDA where there is one), `cpu` or `cuda`.

    Raises:
        UserError: the name is none of these, or CUDA is asked for and absent.
    """
    if name not in DEVICES:
        raise UserError(f"device={name}: expected {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch sees no CUDA device; use device=cpu, or a CUDA build of torch")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


def check_precision(name: str) -> str:
    """float32, or bf16: matrix products in bfloat16, weights and likelihoods in float32.

    Raises:
        UserError: the name is neither.
    """
    if name not in PRECISIONS:
        raise UserError(f"precision={name}: expected {' or '.join(PRECISIONS)}")
    return name
