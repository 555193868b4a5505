"""python -m seqvae rollout: rollout.mp4, rollout.gif and rollout.npz of a model's future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqvae.cli.compose import compose
from seqvae.cli.data import folder_of, load_data, load_model, make_folder
from seqvae.config import make
from seqvae.data.conversion import from_coordinates, from_half_widths
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError, require, require_at_least
from seqvae.evaluate import Truth, slot_order
from seqvae.interventions import Change
from seqvae.io import write_whole
from seqvae.rollout import Rollout, roll_out
from seqvae.sequence import SequenceModel
from seqvae.video import Rows, compare, write_video


def main(overrides: list[str]) -> None:
    """Run the command with configs/rollout.yaml and `overrides`."""
    config = compose("rollout", overrides)
    require(config, sample=(bool,))
    require_at_least(config, context=1, horizon=1, samples=1, rows=1, fps=1)
    index = _index(config["index"])
    change = make(Change, config["intervene"], "intervene")
    model = load_model(config)
    context, horizon = config["context"], config["horizon"]
    sequences = load_data(config, model, index, frames=context + horizon)
    out = make_folder(config["out"] or folder_of(config["run"]) / "rollout")

    rollout = roll_out(
        model, sequences.frames, sequences.prev_actions, context, horizon, decode=True, change=change
    )
    arrays = _arrays(model, rollout, sequences)
    clouds = None
    if config["sample"]:
        draws = _draws(model, sequences, context, horizon, config["samples"], change)
        arrays |= {f"sample_{name}": x for name, x in _states(model, draws, sequences).items()}
        clouds = draws["positions"]

    write_whole(out / "rollout.npz", lambda file: np.savez_compressed(file, **arrays))
    shown = min(config["rows"], len(sequences))
    clouds = [None] * shown if clouds is None else clouds
    rows = Rows([compare(rollout, i, sequences.frames[i], clouds[i]) for i in range(shown)])
    for name in ("rollout.mp4", "rollout.gif"):
        write_video(out / name, rows, config["fps"])
    _tell(rollout, sequences, change, out)


def _index(value: Any) -> int | None:
    if value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"index={value}: expected the number of a sequence, from 0, or all")
    return value


def _arrays(model: SequenceModel, rollout: Rollout, sequences: Sequences) -> dict[str, np.ndarray]:
    """What rollout.npz holds; `order` says, where the truth is known, which slot is which object."""
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
    """Stochastic futures: z, positions, velocities with the axes "n s t k ..."."""
    frames, led = sequences.frames, sequences.prev_actions
    draws = [
        roll_out(model, frames, led, context, horizon, sample=True, change=change) for _ in range(samples)
    ]
    names = [name for name in ("z", "positions", "velocities") if getattr(draws[0], name) is not None]
    return {"positions": None} | {n: np.stack([getattr(d, n) for d in draws], axis=1) for n in names}


def _states(
    model: SequenceModel, states: dict[str, np.ndarray | None], sequences: Sequences
) -> dict[str, np.ndarray]:
    """Positions and velocities in simulator units (the model's, where the data has none); z as it is.

    Where neither knows a coordinate limit they stay in half-widths.
    """
    limit = sequences.coord_limit or model.spec.coord_limit
    result = {name: x for name, x in states.items() if x is not None}
    if limit is not None and "positions" in result:
        result["positions"] = from_coordinates(result["positions"], limit)
    if limit is not None and "velocities" in result:
        result["velocities"] = from_half_widths(result["velocities"], limit)
    return result


def _tell(rollout: Rollout, sequences: Sequences, change: Change, out: Path) -> None:
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
