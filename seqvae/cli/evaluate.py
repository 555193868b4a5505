"""python -m seqvae evaluate: the evaluation protocol on a trained model, into files and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqvae import checkpoint
from seqvae.cli.compose import compose
from seqvae.cli.data import folder_of, load_data, load_model, make_folder
from seqvae.cli.export import chosen_by
from seqvae.data.sequences import Sequences
from seqvae.errors import require, require_at_least
from seqvae.evaluate import (
    Report,
    bounds,
    long_rollouts,
    reported,
    score,
    uncertainty,
    usable_lengths,
    write_report,
)
from seqvae.provenance import UNKNOWN
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.video import compare, counting_sheet, write_png, write_video

SHOWN = 48  # frames in the picture of counts


def main(overrides: list[str]) -> None:
    """Run the command with configs/evaluate.yaml and `overrides`."""
    config = compose("evaluate", overrides)
    require(config, sample=(bool,), pixels=(str,))
    require_at_least(config, context=1, samples=1, iwae=0, bound_sequences=1, videos=0)
    require_at_least(config, **{key: 1 for key in ("horizon", "long") if config[key] is not None})
    model = load_model(config)
    sequences = load_data(config, model)
    out = make_folder(config["out"] or folder_of(config["run"]) / "evaluation")
    report = evaluate(model, sequences, config)
    print(report.markdown())
    paths = write_report(report, out)
    paths += _counting(model, sequences, out)
    paths += _videos(model, sequences, config, out)
    print("\n".join(str(path) for path in paths))


def evaluate(model: SequenceModel, sequences: Sequences, config: dict[str, Any]) -> Report:
    """Everything that configs/evaluate.yaml asks for, in one report."""
    context, horizon = usable_lengths(sequences, config["context"], config["horizon"])
    # first what may be impossible for this model or data, so that nothing is computed in vain
    long, futures, found = {}, {}, []
    if config["long"]:
        long = long_rollouts(model, sequences, config["long"], context)
    if config["sample"]:
        futures = uncertainty(model, sequences, config["samples"], context, horizon)
    if sequences.positions is None:
        print(f"{sequences.name}: has no true positions, so only pixels are scored")
    scores = score(model, sequences, context, horizon, decode=True, pixels=config["pixels"])
    if config["iwae"]:
        few = sequences.first(config["bound_sequences"]).without_truth()
        found = bounds(model, few, config["iwae"], context + horizon, reported(model))
    about = origin(config) | {"config": config, "model": model.config}
    whole, later = (*found, None, None)[:2]
    return Report(scores, about, whole, futures, long, later)


def origin(config: dict[str, Any]) -> dict[str, Any]:
    """The training behind the checkpoint that `run` and `checkpoint` name, as far as the file tells."""
    content = checkpoint.load(checkpoint.find(config["run"], config["checkpoint"]))
    criterion = chosen_by(content.config) if "trainer" in content.config else UNKNOWN
    return {"training_commit": content.commit or UNKNOWN, "updates": content.step, "chosen_by": criterion}


def _counting(model: SequenceModel, sequences: Sequences, out: Path) -> list[Path]:
    """For models that count, the first frame of some sequences with boxes and counts."""
    if "presence" not in model.layout:
        return []
    few, visible = sequences.first(SHOWN), sequences.first(SHOWN).count_visible()
    seen = roll_out(model, few.frames, few.prev_actions, context=1, horizon=0, decode=True)
    sheet = counting_sheet(
        few.frames[:, 0],
        seen.pictures()[:, 0],
        seen.positions[:, 0],
        None if seen.extents is None else seen.extents[:, 0],
        seen.presence[:, 0].sum(-1),
        None if visible is None else visible[:, 0],
    )
    write_png(out / "counts.png", sheet)
    return [out / "counts.png"]


def _videos(model: SequenceModel, sequences: Sequences, config: dict[str, Any], out: Path) -> list[Path]:
    few = sequences.first(config["videos"]).without_truth()
    if not len(few):
        return []
    context, horizon = usable_lengths(sequences, config["context"], config["horizon"])
    rollout = roll_out(model, few.frames, few.prev_actions, context, horizon, decode=True)
    paths = []
    for i in range(len(few)):
        paths.append(out / f"comparison_{i}.mp4")
        write_video(paths[-1], compare(rollout, i, few.frames[i]))
    return paths
