"""Lines of progress: one count of steps over all stages, and the time left for all of them."""

from __future__ import annotations

from dataclasses import replace

from seqvae.train.progress import Outlook, Progress
from seqvae.train.stages import StageStart, TrainerOptions, build_stages


def stages(*steps):
    options = {"batch_size": 4, "clip_length": 5}
    own = {name: {"trainer": {"steps": n}} for name, n in zip("abc", steps, strict=False)}
    return build_stages({"_target_": "seqvae.objectives.ELBO"}, {"lr": 0.001}, options, own)


def shown(run, index, begin, step, elapsed, capsys):
    progress = Progress(run[index].trainer, True, begin, Outlook(run, index))
    progress.update(step, elapsed, pace=20.0, numbers={"best pixel_mse_1_10": 0.25})
    return capsys.readouterr().err.strip()


def test_steps_and_time_are_those_of_the_whole_run(capsys):
    """20 frames a step at 20 frames a second: a second per step, if the later stages are no faster."""
    run = stages(60, 120)
    first = shown(run, 0, StageStart(), 30, 30.0, capsys)
    assert (
        first
        == (
            " 17%  step 30/180  stage a, 1 of 2  20 frames/s  0:30 left, all stages at most 2:30  "
            "best pixel_mse_1_10 0.25"
        ).strip()
    )
    second = shown(run, 1, StageStart(1, 60, 60.0), 120, 120.0, capsys)
    assert second.startswith("67%  step 120/180  stage b, 2 of 2  20 frames/s  1:00 left  best")


def test_a_run_of_one_stage_names_none(capsys):
    line = shown(stages(60), 0, StageStart(), 15, 15.0, capsys)
    assert line.startswith("25%  step 15/60  20 frames/s  0:45 left")


def test_a_stage_bounded_by_time_has_no_number_of_steps(capsys):
    first, second = stages(60, 60)
    run = (first, replace(second, trainer=TrainerOptions(minutes=2)))
    line = shown(run, 0, StageStart(), 30, 30.0, capsys)
    assert "step 30  stage a" in line and "all stages at most 2:30" in line
