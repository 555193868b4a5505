"""State of a training: everything apart from the weights that later updates depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from seqvae.content import is_real, is_whole
from seqvae.errors import UserError
from seqvae.train.stages import StageStart

_MOST_STEPS, _MOST_STAGES = 2**53, 1000


@dataclass(frozen=True)
class TrainingState:
    """Everything apart from the weights that later updates depend on; the `training` of a checkpoint.

    learner: state of optimiser and weight average
    rng: state of the random generators, alike on all ranks; checkpoints from before had one per rank
    elapsed: seconds of training, over all stages and resumes
    validated: step of the last validation
    best: best validation score so far
    start: beginning of the stage, a StageStart as plain data
    objective: what the objective keeps of the beginning of its stage
    """

    learner: dict[str, Any]
    rng: list[Any]
    elapsed: float
    validated: int
    best: float | None
    start: dict[str, Any]
    objective: dict[str, Any] = field(default_factory=dict)

    @property
    def stage_start(self) -> StageStart:
        return StageStart(**self.start)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> TrainingState:
        """Take the `training` of a checkpoint.

        Raises:
            UserError: something is missing, or not of its type.
        """
        names = {f.name for f in fields(cls)}
        if not names - {"objective"} <= content.keys() <= names:
            raise UserError("the state of its training is incomplete; copy the file again")
        state = cls(**content)
        sound = {
            "learner": isinstance(state.learner, dict) and {"optimiser", "weights"} <= state.learner.keys(),
            "rng": isinstance(state.rng, list) and len(state.rng) > 0 and all(map(_is_rng, state.rng)),
            "elapsed": is_real(state.elapsed) and 0 <= state.elapsed < float("inf"),
            "validated": is_whole(state.validated, 0, _MOST_STEPS),
            "best": state.best is None or is_real(state.best),
            "start": _is_start(state.start),
            "objective": isinstance(state.objective, dict),
        }
        for name, is_sound in sound.items():
            if not is_sound:
                raise UserError(f"training.{name} is damaged, or of another kind; copy the file again")
        return state


def _is_rng(state: Any) -> bool:
    """Return whether a value holds the state of torch's generator on the CPU, and perhaps on a GPU."""
    if not isinstance(state, dict) or "cpu" not in state or not state.keys() <= {"cpu", "cuda"}:
        return False
    is_bytes = all(isinstance(x, Tensor) and x.dtype == torch.uint8 and x.ndim == 1 for x in state.values())
    return is_bytes and len(state["cpu"]) == len(torch.get_rng_state())


def _is_start(start: Any) -> bool:
    if not isinstance(start, dict) or not start.keys() <= {f.name for f in fields(StageStart)}:
        return False
    begin = StageStart(**start)
    is_time = is_real(begin.elapsed) and 0 <= begin.elapsed < float("inf")
    is_place = is_whole(begin.stage, 0, _MOST_STAGES) and is_whole(begin.step, 0, _MOST_STEPS)
    return is_time and is_place and (begin.best is None or is_real(begin.best))
