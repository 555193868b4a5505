"""`python -m seqvae evaluate`: the evaluation protocol on a trained model, into files and a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_gen.card import checksum
from data_gen.cli.command import Job
from data_gen.plugins import load_installed
from seqvae import checkpoint
from seqvae.cli.data import ModelConfig, load_data, load_model, read_config, with_data
from seqvae.data.sequences import Sequences
from seqvae.errors import require_at_least
from seqvae.evaluate import (
    Metric,
    Report,
    bounds,
    describe_futures,
    long_rollouts,
    registered_metrics,
    remove_metrics,
    reported,
    sample_futures,
    score,
    usable_lengths,
    write_report,
)
from seqvae.io import output_folder, show_progress
from seqvae.provenance import UNKNOWN, environment
from seqvae.rollout import roll_out
from seqvae.sequence import SequenceModel
from seqvae.train.origin import Origin
from seqvae.video import compare, counting_sheet, write_png, write_video

SHOWN = 48  # frames in the picture of counts


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ModelConfig):
    """The keys of configs/evaluate.yaml."""

    context: int
    horizon: int | None
    pixels: str
    sample: bool
    samples: int
    long: int | None
    iwae: int
    bound_sequences: int
    videos: int

    def __post_init__(self):
        super().__post_init__()
        require_at_least(vars(self), context=1, samples=1, iwae=0, bound_sequences=1, videos=0)
        require_at_least(vars(self), horizon=0, long=1)


@show_progress()
def run(config: Mapping[str, Any], job: Job) -> None:
    """Evaluate a model; print its table, and write it with numbers, plots and videos."""
    options = with_data(read_config(EvaluateConfig, config, job))
    model = load_model(options)
    sequences = load_data(options, model)
    out = Path(options.out or options.run_folder / "evaluation")
    with output_folder(out):
        report = evaluate(model, sequences, options)
        print(report.markdown())
        remove_metrics(out)
        pictures = [*_counting(model, sequences, out), *_videos(model, sequences, options, out)]
        paths = write_report(report, out)
    print("\n".join(str(path) for path in (*paths, *pictures)))


def evaluate(model: SequenceModel, sequences: Sequences, options: EvaluateConfig) -> Report:
    """Return everything that configs/evaluate.yaml asks for, in one report."""
    context, horizon = usable_lengths(sequences, options.context, options.horizon)
    # first what may be impossible for this model or data, so that nothing is computed in vain
    long, futures, found = {}, None, []
    if options.long:
        long = long_rollouts(model, sequences, options.long, context)
    if options.sample:
        futures = sample_futures(model, sequences, options.samples, context, horizon)
    if sequences.positions is None:
        print(f"{sequences.name}: has no true positions, so only pixels are scored")
    own = _own_metrics()
    scores = score(model, sequences, context, horizon, decode=True, pixels=options.pixels, own=own)
    if options.iwae:
        few = sequences.first(options.bound_sequences).without_truth()
        found = bounds(model, few, options.iwae, context + horizon, reported(model))
    # the groups of this config, of which there are none, have always been part of metrics.json
    config = asdict(options) | {"choices": {}}
    about = describe_training(options) | {"config": config, "model": model.config}
    about |= {"environment": environment()}
    if options.data is not None:
        about |= {"data_sha256": checksum(Path(options.data))}
    whole, later = (*found, None, None)[:2]
    described, calibration = {}, {}
    if futures is not None:
        described, calibration = describe_futures(futures), futures.calibration()
    return Report(scores, about, whole, described, long, later, calibration)


def _own_metrics() -> list[Metric]:
    """Make the metrics of the user; print a line for each plugin of an installed package that fails."""
    for fault in load_installed():
        print(fault, file=sys.stderr)
    return registered_metrics()


def describe_training(options: ModelConfig) -> dict[str, Any]:
    """Return the training behind a checkpoint, as far as the file tells."""
    content = checkpoint.load(checkpoint.find(options.run, options.checkpoint))
    return {
        "training_commit": content.commit or UNKNOWN,
        "training_versions": content.versions,
        "training_data": content.data,
        "updates": content.step,
        "chosen_by": Origin.of(content.config).chosen_by,
    }


def _counting(model: SequenceModel, sequences: Sequences, out: Path) -> list[Path]:
    """For models that count, write the first frame of some sequences with boxes and counts."""
    if "presence" not in model.layout:
        return []
    few, visible = sequences.first(SHOWN), sequences.first(SHOWN).count_visible()
    seen = roll_out(model, few.frames, few.prev_actions, context=1, horizon=0, decode=True)
    assert seen.positions is not None and seen.presence is not None  # the layout has a presence
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


def _videos(model: SequenceModel, sequences: Sequences, options: EvaluateConfig, out: Path) -> list[Path]:
    """Write the model beside the truth: a video per sequence, of single images a picture."""
    few = sequences.first(options.videos).without_truth()
    if not len(few):
        return []
    context, horizon = usable_lengths(sequences, options.context, options.horizon)
    rollout = roll_out(model, few.frames, few.prev_actions, context, horizon, decode=True)
    paths = []
    for i in range(len(few)):
        frames = compare(rollout, i, few.frames[i])
        is_still = len(frames) == 1
        paths.append(out / f"comparison_{i}.{'png' if is_still else 'mp4'}")
        if is_still:
            write_png(paths[-1], frames[0])
        else:
            write_video(paths[-1], frames)
    return paths
