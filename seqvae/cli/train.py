"""python -m seqvae train: from a config to a trained model in a run folder."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from seqvae.build import build
from seqvae.checkpoint import BEST, LAST, find, load, remove_temporaries
from seqvae.cli.data import Source, ignored_actions, open_source
from seqvae.cli.run import CONFIG, Plan, how_to_resume, plan
from seqvae.config import instantiate, make
from seqvae.data.sequences import Sequences
from seqvae.data.streamed import is_death_of_worker
from seqvae.errors import UserError, require
from seqvae.io import write_whole
from seqvae.objectives import Objective
from seqvae.provenance import UNKNOWN, commits, git_commit
from seqvae.sequence import SequenceModel
from seqvae.streams import Stream
from seqvae.train.encodings import EncodingClips, encoded, true_states
from seqvae.train.learner import Learner
from seqvae.train.optim import Optim
from seqvae.train.runtime import Ranks, compile_parts, join, keep_freed_memory, seed_everything
from seqvae.train.stages import Options, Stage, Start, check_precision, pick_device, stages
from seqvae.train.trainer import NotFinite, Outcome, Trainer
from seqvae.train.validation import Validation

DEAD_WORKER = "a process that reads or makes data was killed, perhaps for want of memory"


def main(overrides: list[str]) -> int:
    """Train; returns 0, 1 if loss or disk failed on the way, 128 + signal after Ctrl-C or SIGTERM."""
    todo = plan(overrides)
    ranks = join(pick_device(todo.config["device"]).type)
    try:
        # the default name holds the time, which each process read for itself
        return _train(replace(todo, run=ranks.same(todo.run)), ranks)
    finally:
        ranks.close()


def _train(todo: Plan, ranks: Ranks) -> int:
    if todo.complete:
        more = todo.last_stage.key("trainer.steps")
        _tell(ranks, f"{todo.run} is complete ({todo.checkpoint.step} steps); a larger {more} continues it")
        return 0
    setting = _setting(todo, ranks)
    with closing(setting.source.clips):
        return _run_stages(setting, todo, ranks)


def _run_stages(setting: Setting, todo: Plan, ranks: Ranks) -> int:
    config, run = todo.config, todo.run
    if ranks.first:
        _prepare(run, config)
    ranks.wait()
    start = Start() if todo.checkpoint is None else Start(**todo.checkpoint.training["start"])
    for job in setting.jobs[start.stage :]:
        trainer = _trainer(job, start, setting, todo, ranks)
        try:
            outcome = trainer.fit()
        except NotFinite as error:
            _tell(ranks, f"seqvae train: {error}")
            return 1
        except OSError as error:  # a full disk, most likely
            command = how_to_resume(run, ranks.size)
            _tell(ranks, f"seqvae train: {run}: cannot be written ({error.strerror}); go on with {command}")
            return 1
        except RuntimeError as error:
            if not is_death_of_worker(error):
                raise
            command = how_to_resume(run, ranks.size)
            _tell(ranks, f"seqvae train: {DEAD_WORKER}; go on with {command} workers=1")
            return 1
        if outcome.signal is not None:
            break
        best = _comparable(trainer.best, job, setting.jobs)
        start = Start(job.stage.index + 1, trainer.step, trainer.elapsed, best)
    _tell(ranks, _ending(outcome, trainer))
    return 0 if outcome.signal is None else 128 + outcome.signal


def _comparable(best: float | None, job: Job, jobs: list[Job]) -> float | None:
    """The best validation so far, where the next stage is judged by the same number; else None."""
    following = jobs[job.stage.index + 1 :]
    names = {j.options.criterion for j in (job, *following[:1])}
    return best if len(names) == 1 and "objective" not in names else None


@dataclass(frozen=True)
class Job:
    """A stage with all that it needs, made before the first one begins, so that faults come up at once."""

    stage: Stage
    objective: Objective
    optim: Optim
    options: Options
    validate: Validation | None


@dataclass(frozen=True)
class Setting:
    """What a training works with: its stages, and what they share."""

    jobs: list[Job]
    model: SequenceModel
    source: Source
    device: torch.device
    precision: str
    commit: str


def _setting(todo: Plan, ranks: Ranks) -> Setting:
    """Data, model and stages; faults of config and data come up here, before anything is written."""
    config = todo.config
    precision = check_precision(config["precision"])
    device = pick_device(config["device"], ranks.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _set_threads(config["threads"])
    keep_freed_memory()

    all_stages = stages(config)
    needed = max(stage.options.validation_sequences for stage in all_stages)
    source = open_source(config, device, needed)
    seed_everything(config["seed"], Stream.WEIGHTS)
    jobs = [_job(stage, source.validation, device) for stage in all_stages]
    for job in jobs:
        _require_clips(job)
        ranks.share(job.options.batch_size)
        source.clips.require_clips(job.options.clip_length)

    if todo.checkpoint is None:
        model = build(config["model"], source.spec)
        if config["init"] is not None:
            _take_weights(model, config["init"])
    else:
        todo.checkpoint.spec.require_same_input(source.spec, source.name)
        model = todo.checkpoint.build(todo.run / LAST)
    for note in ignored_actions(model, source.spec.actions):
        _tell(ranks, note)
    model = model.to(device)
    require(config, compile=(bool,))
    if config["compile"]:
        compile_parts(model)
    commit = git_commit() or UNKNOWN
    if todo.checkpoint is not None:
        commit = commits(todo.checkpoint.commit, commit)
    return Setting(jobs, model, source, device, precision, commit)


def _take_weights(model: SequenceModel, init: str) -> None:
    """Give the model the weights of a run, checkpoint or pretrained model."""
    given = load(find(init)).model
    try:
        model.load_state_dict(given)
    except RuntimeError:
        raise UserError(f"init={init}: its model differs from this config's; compare with inspect") from None
    except UserError as error:  # a part knows these weights, and that they no longer fit
        raise UserError(f"init={init}: {error}") from None


def _job(stage: Stage, validation: Sequences | None, device: torch.device) -> Job:
    objective = instantiate(stage.objective, stage.key("objective"), Objective)
    optim, options = make(Optim, stage.optim, stage.key("optim")), stage.options
    validate = None
    if validation is not None:
        validate = Validation(validation, objective, options, device, stage.source)
    return Job(stage, objective, optim, options, validate)


def _require_clips(job: Job) -> None:
    """Raise UserError where clips end before the objective begins."""
    length, start, context = job.options.clip_length, job.objective.start, job.objective.context
    key = job.stage.key("trainer.clip_length")
    if length < start:
        where = job.stage.key("objective.start")
        raise UserError(f"{key}={length}: {where}={start} needs clips of {start} frames or more")
    if context and length <= context:
        raise UserError(f"{key}={length}: a rollout after {context} frames needs longer clips")


def _trainer(job: Job, start: Start, setting: Setting, todo: Plan, ranks: Ranks) -> Trainer:
    """The trainer of one stage, restored from the checkpoint where that was left in this stage."""
    stage, config, clips, resumed = job.stage, todo.config, setting.source.clips, todo.checkpoint
    resumed = resumed is not None and Start(**resumed.training["start"]).stage == stage.index
    ranks.wait()  # until the first has written its best weights
    if stage.begin == "best" and not resumed and (todo.run / BEST).is_file():
        setting.model.load_state_dict(load(todo.run / BEST).model)
    if stage.source == "evidence":
        clips = encoded(setting.model, clips)
    elif stage.source == "states":
        clips.close()
        sequences = setting.source.sequences()
        led = sequences.prev_actions
        led = None if led is None else torch.as_tensor(led, device=setting.device)
        clips = EncodingClips(true_states(setting.model, sequences), led)
    learner = Learner(setting.model, job.objective, job.optim, setting.precision, ranks, stage.parts)
    seed_everything(config["seed"], Stream.TRAINING, stage.index, ranks.rank)
    trainer = Trainer(
        learner,
        clips,
        job.validate,
        job.options,
        todo.run,
        config,
        config["seed"],
        setting.device,
        start,
        setting.commit,
    )
    called = f" ({stage.name})" if stage.name else ""
    if resumed:
        trainer.restore(todo.checkpoint)
        _tell(ranks, f"resuming {todo.run} at step {trainer.step}{called}")
    else:
        _tell(ranks, f"training in {todo.run} on {setting.device}, {job.options.budget}{called}")
    return trainer


def _set_threads(threads: Any) -> None:
    if threads is None:
        return
    if not isinstance(threads, int) or threads < 1:
        raise UserError(f"threads={threads}: expected a whole number from 1, or null")
    torch.set_num_threads(threads)


def _prepare(run: Path, config: dict[str, Any]) -> None:
    """The run's folder, without what a killed process left half-written; its config, for people to read."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        remove_temporaries(run)
        write_whole(run / CONFIG, lambda file: file.write(OmegaConf.to_yaml(config).encode()))
    except OSError as error:
        raise UserError(f"run={run}: cannot be written ({error.strerror}); choose another folder") from None


def _tell(ranks: Ranks, text: str) -> None:
    if ranks.first:
        print(text, file=sys.stderr, flush=True)


def _ending(outcome: Outcome, trainer: Trainer) -> str:
    if outcome.signal is not None:
        command = how_to_resume(trainer.run, trainer.ranks.size)
        return f"stopped at step {outcome.step}, everything is saved; go on with:\n  {command}"
    best = "" if trainer.best is None else f", best validation {trainer.best:.4g}: {trainer.run / BEST}"
    return f"complete after {outcome.step} steps{best}"
