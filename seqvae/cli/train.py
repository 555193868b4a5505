"""`python -m seqvae train`: from a config to a trained model in a run folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from data_gen.card import checksum
from data_gen.cli.command import Job, Stop
from data_gen.errors import DataError
from seqvae.build import build
from seqvae.checkpoint import BEST, LAST, find, load
from seqvae.cli.data import TrainData, notes_on_actions, open_data
from seqvae.cli.run import Run, open_run
from seqvae.content import content_checked
from seqvae.data.interaction import Interaction
from seqvae.data.online import OnlineClips
from seqvae.data.streamed import is_death_of_worker
from seqvae.errors import UserError
from seqvae.io import UnwritableError, last_words, let_speak, output_folder
from seqvae.provenance import Provenance
from seqvae.sequence import SequenceModel
from seqvae.share import LostProcess
from seqvae.streams import Stream
from seqvae.train.background import AT_ONCE, median_frame
from seqvae.train.encodings import EncodingClips, encode_sequences, encode_true_states
from seqvae.train.graphs import compile_parts
from seqvae.train.learner import Learner
from seqvae.train.progress import Outlook
from seqvae.train.runtime import (
    Ranks,
    join_ranks,
    keep_freed_memory,
    pick_device,
    seed_everything,
)
from seqvae.train.stages import Stage, StageStart
from seqvae.train.trackers import Trackers, installed_trackers
from seqvae.train.trainer import Clips, NonFiniteLoss, Trainer, TrainResult
from seqvae.train.validation import Validation

DEAD_WORKER = "a process that reads or makes data was killed, perhaps for want of memory"


def run(config: Mapping[str, Any], job: Job) -> float | None:
    """Train, and return the best validation score of the last stage; lower is better.

    Raises:
        UserError: the config is at fault, and nothing has been written.
        DataError: another command writes to the folder of the run, or it cannot be written.
        Stop: the loss is not finite, the disk is full, a worker or another process of the training has died;
            or a signal stopped the training,
            and everything is saved.
    """
    opened = open_run(config, job)
    ranks = join_ranks(pick_device(opened.config.device).type)
    try:
        # the default name holds the time, which each process read for itself
        return _train(replace(opened, folder=ranks.same(opened.folder)), ranks)
    except (DataError, UserError, Stop):
        let_speak(ranks.is_first_to_say())  # the others end because of this one, or for the same reason
        raise
    finally:
        ranks.close()


def _train(run: Run, ranks: Ranks) -> float | None:
    if run.complete and run.checkpoint is not None:
        more = run.config.last_stage.key("trainer.steps")
        _tell(ranks, f"{run.folder} is complete ({run.checkpoint.step} steps); a larger {more} continues it")
        return run.best
    device = pick_device(run.config.device, ranks.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if run.config.threads is not None:
        torch.set_num_threads(run.config.threads)
    keep_freed_memory()
    try:
        words = last_words(lambda: f"interrupted; {run.remedy(ranks.size)}")
        with words, open_data(run.config, device) as data:
            return Training(run, data, device, ranks).fit()
    except LostProcess:
        raise Stop(f"another process of this training has ended; {run.remedy(ranks.size)}", 1) from None
    except RuntimeError as error:
        if not is_death_of_worker(error):
            raise
        raise Stop(f"{DEAD_WORKER}; add workers=1, and {run.remedy(ranks.size)}", 1) from None


class Training:
    """A run at work: model, data and validations of its stages, made before the first one begins.

    Raises:
        UserError: config, data and model do not fit each other; nothing has been written.
    """

    def __init__(self, run: Run, data: TrainData, device: torch.device, ranks: Ranks):
        self.run, self.data, self.device, self.ranks = run, data, device, ranks
        seed_everything(run.config.seed, Stream.WEIGHTS)
        self.validations = [self._make_validation(stage) for stage in run.config.stages]
        for stage in run.config.stages:
            stage.require_clips(data.clips)
            ranks.share(stage.trainer.batch_size)
        model = _make_model(run, data)
        _require_rewards(model, data)
        self.notes = notes_on_actions(model, data.spec.actions)  # told when the first stage begins
        self.model = model.to(device)
        if run.config.compile:
            compile_parts(self.model)
        self.trackers, self.tracker_names = Trackers(), installed_trackers(run.config.trackers)
        self.provenance = _provenance(run, data) if ranks.first else Provenance()

    def fit(self) -> float | None:
        """Train the stages that are left, one after the other; return the best score of the last one."""
        complete = False
        with output_folder(self.run.folder, "run") if self.ranks.first else nullcontext():
            try:
                if self.ranks.first:
                    self._open_folder()
                self.ranks.wait()
                best = self._fit_stages()
                complete = True
                return best
            finally:
                self.trackers.close(complete)
                for failure in self.trackers.failures:
                    _tell(self.ranks, f"warning: {failure}")

    def _open_folder(self) -> None:
        """Write the config into the folder of the run, and open the trackers."""
        run = self.run
        run.write_config(self.provenance)
        step = 0 if run.checkpoint is None else run.checkpoint.step
        config = {**run.config.plain, "provenance": vars(self.provenance)}
        self.trackers = Trackers.open(self.tracker_names, run.folder, step, config)

    def _fit_stages(self) -> float | None:
        run, ranks = self.run, self.ranks
        start, best, chosen_by = run.start, run.best, "validation"
        for stage in run.config.stages[start.stage :]:
            trainer = self._make_trainer(stage, start)
            result = self._fit(trainer)
            if result.signal is not None:
                command = run.resume_command(ranks.size)
                message = f"stopped at step {result.step}, everything is saved; go on with:\n  {command}"
                raise Stop(message, 128 + result.signal)
            best, chosen_by = trainer.best, trainer.chosen_by
            kept = best if _have_same_criterion(stage, run.config.stages) else None
            start = StageStart(stage.index + 1, trainer.step, trainer.elapsed, kept)
        where = "" if best is None else f", best {chosen_by} {best:.4g}: {run.folder / BEST}"
        _tell(ranks, f"complete after {start.step} steps{where}")
        return best

    def _fit(self, trainer: Trainer) -> TrainResult:
        try:
            return trainer.fit()
        except NonFiniteLoss as error:
            raise Stop(str(error), 1) from None
        except UnwritableError as error:  # a full disk, most likely
            raise Stop(f"{error.fault}; {self.run.remedy(self.ranks.size)}", 1) from None

    def _make_validation(self, stage: Stage) -> Validation | None:
        sequences = self.data.validation
        if sequences is None:
            return None
        return Validation(sequences, stage.objective, stage.trainer, self.device, stage.source)

    def _make_trainer(self, stage: Stage, start: StageStart) -> Trainer:
        """Make the trainer of one stage, restored from the checkpoint where that was left in this stage."""
        run, ranks = self.run, self.ranks
        resumed = run.checkpoint if run.start.stage == stage.index else None
        ranks.wait()  # until the first has written its best weights
        if stage.begin == "best" and resumed is None and (run.folder / BEST).is_file():
            self.model.load_state_dict(load(run.folder / BEST).model)
        clips = self._make_clips(stage)
        config = run.config
        learner = Learner(
            self.model, stage.objective, stage.optim, config.precision, ranks, stage.parts, config.compile
        )
        seed_everything(
            run.config.seed, Stream.TRAINING, stage.index, 0
        )  # alike on all ranks: seqvae/share.py
        trainer = Trainer(
            learner,
            clips,
            self.validations[stage.index],
            stage.trainer,
            run.folder,
            dict(run.config.plain),
            run.config.seed,
            self.device,
            start,
            self.provenance,
            self.trackers,
            Outlook(run.config.stages, stage.index),
        )
        called = f" ({stage.name})" if stage.name else ""
        if resumed is not None:
            with content_checked(run.folder / LAST):
                trainer.restore(resumed)
            begins = f"resuming {run.folder} at step {trainer.step}{called}"
        else:
            begins = f"training in {run.folder} on {self.device}, {stage.trainer.budget}{called}"
        for line in (*self.notes, begins):
            _tell(ranks, line)
        self.notes = []
        return trainer

    def _make_clips(self, stage: Stage) -> Clips:
        if stage.source == "evidence":
            return encode_sequences(self.model, self.data.clips, self.ranks)
        if stage.source == "states":
            self.data.clips.close()
            sequences = self.data.sequences()
            given = Interaction.of(sequences.interaction(), self.device)
            return EncodingClips(encode_true_states(self.model, sequences), given)
        return self.data.clips


def _have_same_criterion(stage: Stage, stages: tuple[Stage, ...]) -> bool:
    """Return whether the stage after this one is judged by the same number."""
    criteria = {s.trainer.criterion for s in stages[stage.index : stage.index + 2]}
    return len(criteria) == 1 and "objective" not in criteria


def _provenance(run: Run, data: TrainData) -> Provenance:
    """Return the origin of the run, with that of its earlier parts."""
    now = Provenance.now({str(file): checksum(file) for file in data.files})
    return now if run.checkpoint is None else now.after(run.checkpoint.provenance)


def _make_model(run: Run, data: TrainData) -> SequenceModel:
    """Build the model: new, with the weights of `init`, or as in the checkpoint."""
    if run.checkpoint is not None:
        run.checkpoint.spec.require_same_input(data.spec, data.name)
        return run.checkpoint.build(run.folder / LAST)
    model = build(run.config.model, data.spec)
    if run.config.init is not None:
        load_init(model, run.config.init)
    elif model.frame.has_background:
        model.frame.begin_background(median_frame(data.clips.full_sequences(AT_ONCE)))
    return model


def _require_rewards(model: SequenceModel, data: TrainData) -> None:
    """Raise UserError if the model has a reward part, and the data no rewards for it."""
    if model.reward is None or isinstance(data.clips, OnlineClips):
        return
    rewards = data.clips.interaction.rewards
    if rewards is None:
        raise UserError(
            f"{data.name}: has no rewards, from which model.reward would learn; give model.reward=null"
        )
    model.reward.require_rewards(rewards)


def load_init(model: SequenceModel, init: str) -> None:
    """Give the model the weights of a run, checkpoint or pretrained model.

    Raises:
        UserError: they are those of another model.
    """
    given = load(find(init)).model
    try:
        model.load_state_dict(given)
    except RuntimeError:
        raise UserError(f"init={init}: its model differs from this config's; compare with inspect") from None
    except UserError as error:  # a part recognises these weights as older than it can take
        raise UserError(f"init={init}: {error}") from None


def _tell(ranks: Ranks, text: str) -> None:
    if ranks.first:
        print(text, file=sys.stderr, flush=True)
