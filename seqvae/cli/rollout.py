"""`python -m seqvae rollout`: rollout.mp4, rollout.gif and rollout.npz of a model's future."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.cli.command import Job
from seqvae.cli.data import ModelConfig, load_data, load_model, read_config, with_data
from seqvae.config import make
from seqvae.data.conversion import from_coordinates, from_half_widths
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError, require_at_least
from seqvae.evaluate import Truth, slot_order
from seqvae.interventions import Change
from seqvae.io import atomic_write, output_folder, show_progress, track
from seqvae.rollout import Rollout, roll_out
from seqvae.sequence import SequenceModel
from seqvae.video import Rows, compare, write_video

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class RolloutConfig(ModelConfig):
    """The keys of configs/rollout.yaml."""

    index: int | str
    context: int
    horizon: int
    sample: bool
    samples: int
    intervene: Mapping[str, Any]
    rows: int
    fps: int

    def __post_init__(self):
        super().__post_init__()
        require_at_least(vars(self), context=1, horizon=1, samples=1, rows=1, fps=1)
        if self.index != ALL and not (isinstance(self.index, int) and self.index >= 0):
            raise UserError(f"index={self.index}: expected the number of a sequence, from 0, or {ALL}")

    @property
    def sequence(self) -> int | None:
        """Number of the sequence; None for all."""
        return self.index if isinstance(self.index, int) else None


@show_progress()
def run(config: Mapping[str, Any], job: Job) -> None:
    """Filter some frames and imagine the next ones; write them as videos and arrays."""
    options = with_data(read_config(RolloutConfig, config, job))
    change = make(Change, options.intervene, "intervene")
    model = load_model(options)
    context, horizon = options.context, options.horizon
    sequences = load_data(options, model, options.sequence, frames=context + horizon)
    out = Path(options.out or options.run_folder / "rollout")
    with output_folder(out):
        _write(model, sequences, change, options, out)


def _write(
    model: SequenceModel, sequences: Sequences, change: Change, options: RolloutConfig, out: Path
) -> None:
    context, horizon = options.context, options.horizon

    rollout = roll_out(
        model, sequences.frames, sequences.prev_actions, context, horizon, decode=True, change=change
    )
    arrays = _arrays(model, rollout, sequences)
    shown = min(options.rows, len(sequences))
    clouds: Any = [None] * shown
    if options.sample:
        draws = _draws(model, sequences, context, horizon, options.samples, change)
        arrays |= {f"sample_{name}": x for name, x in _states(model, draws, sequences).items()}
        clouds = clouds if draws["positions"] is None else draws["positions"]

    atomic_write(out / "rollout.npz", lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
    unchanged = None
    if change:
        few = sequences.first(shown)
        unchanged = roll_out(model, few.frames, few.prev_actions, context, horizon, decode=True)
    rows = Rows([compare(rollout, i, sequences.frames[i], clouds[i], unchanged) for i in range(shown)])
    for name in ("rollout.mp4", "rollout.gif"):
        write_video(out / name, rows, options.fps)
    _print_summary(rollout, sequences, change, out)


def _arrays(model: SequenceModel, rollout: Rollout, sequences: Sequences) -> dict[str, np.ndarray]:
    """Return the arrays of rollout.npz; with known truth, `order` has the slot of each object."""
    states = {"z": rollout.z, "positions": rollout.positions, "velocities": rollout.velocities}
    arrays = _states(model, states, sequences)
    arrays |= {"frames": rollout.pictures(), "first_predicted": np.array(rollout.first_predicted)}
    truth = Truth.of(sequences, rollout.z.shape[1])
    if truth is not None and rollout.positions is not None and rollout.presence is None:
        places = rollout.positions.astype(np.float64)
        arrays["order"] = slot_order(places, truth, rollout.context, model.background_slots)
    return arrays


def _draws(
    model: SequenceModel, sequences: Sequences, context: int, horizon: int, samples: int, change: Change
) -> dict[str, np.ndarray | None]:
    """Sample futures: z, positions, velocities with the axes "n s t k ..."."""
    frames, led = sequences.frames, sequences.prev_actions
    draws = [
        roll_out(model, frames, led, context, horizon, sample=True, change=change)
        for _ in track(range(samples), "sampled futures")
    ]
    names = [name for name in ("z", "positions", "velocities") if getattr(draws[0], name) is not None]
    return {"positions": None} | {n: np.stack([getattr(d, n) for d in draws], axis=1) for n in names}


def _states(
    model: SequenceModel, states: dict[str, np.ndarray | None], sequences: Sequences
) -> dict[str, np.ndarray]:
    """Return positions and velocities in units of the data, or else of the model's training data; z as it is.

    Without a coordinate limit in either they stay in half-widths.
    """
    limit = sequences.coord_limit or model.spec.coord_limit
    result = {name: x for name, x in states.items() if x is not None}
    if limit is not None and "positions" in result:
        result["positions"] = from_coordinates(result["positions"], limit)
    if limit is not None and "velocities" in result:
        result["velocities"] = from_half_widths(result["velocities"], limit)
    return result


def _print_summary(rollout: Rollout, sequences: Sequences, change: Change, out: Path) -> None:
    n, length = rollout.z.shape[:2]
    what = "sequence" if n == 1 else "sequences"
    context = rollout.context
    print(f"{n} {what}: {context} frames of context, then {length - context} predicted")
    if change:
        print(f"changed after frame {context}: {change}")
    given = sequences.frames.shape[1]
    if given < length:
        print(f"the data ends after frame {given}: from there on there is no truth to compare with")
    for name in ("rollout.mp4", "rollout.gif", "rollout.npz"):
        print(out / name)
