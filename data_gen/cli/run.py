"""Run a command from the words of its command line, through Hydra, alone or as the jobs of a sweep."""

from __future__ import annotations

import logging
import math
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import hydra
from hydra.conf import HydraConf, JobConf, RunDir, SweepDir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.cli.command import CONFIGS, Command, Job, Stop
from data_gen.cli.configs import VERSION, check_overrides, our_choices, plain, sweep_folder
from data_gen.cli.flags import hydra_words, read_flags
from data_gen.cli.overrides import PATHS, keys_of, one_line, parse_overrides, quote
from data_gen.cli.plugins import use_plugins
from data_gen.cli.signals import Interrupted, signals_raise
from data_gen.cli.sweep import STOPPED, Sweep, file_name, signals_stop
from data_gen.errors import DataError

OmegaConf.register_new_resolver("file_name", file_name, replace=True)
# of jobs that differ in shared keys: they have no folders of their own where nothing else differs
OmegaConf.register_new_resolver("shared_folder", lambda text: file_name(text) if text else ".", replace=True)


def run_command(command: Command, words: Sequence[str]) -> int:
    """Run a command with the words of its command line.

    Returns the exit code: 0 done, 1 failed on the way, 2 bad input, 128 + signal when stopped.
    """
    try:
        flags = read_flags(words)
        paths = PATHS[command.config]
        command = replace(command, config=flags.config_name or command.config)
        _configure(command)
        if flags.shell_completion or flags.hydra_help or flags.version:
            return _call_hydra(command, [*hydra_words(flags), *flags.words], Task(command))
        return _run(command, flags, paths)
    except (DataError, *command.faults) as error:
        command.tell(error)
        return 2
    except OSError as error:
        if not _is_of_a_file(error):
            raise
        command.tell(_told(error))
        return 2


def _is_of_a_file(error: OSError) -> bool:
    """Return whether the system refused a file or folder; errors of pipes and of h5py are other ones."""
    return bool(error.errno) and error.filename is not None and not isinstance(error, BrokenPipeError)


def _told(error: OSError) -> str:
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else error.filename
    return f"{path}: {os.strerror(error.errno or 0)}; check the path, its permissions and the disk"


def _run(command: Command, flags: Namespace, paths: Collection[str]) -> int:
    words = flags.words
    if command.first and words and ("=" not in words[0] or Path(words[0]).exists()):
        words = [f"{command.first}={words[0]}", *words[1:]]
    overrides = parse_overrides(words, paths, flags.multirun)
    faults = use_plugins(overrides)
    search = [str(Path(flags.config_dir).absolute())] if flags.config_dir else []
    own_keys = command.own_keys is not None and command.own_keys(overrides)
    try:
        checked = check_overrides(command.config, overrides, search, own_keys)
    except DataError as error:
        raise DataError("; ".join([str(error), *faults])) from None
    if flags.multirun:
        swept = {o.key_or_group for o in overrides if o.is_sweep_override()}
        fixed = [o.key_or_group for o in overrides if not o.is_sweep_override()]
        _configure(command, fixed, [key for key in command.shared if key in swept])
        folder = sweep_folder(command, overrides, checked, search)
        return _run_sweep(command, flags, checked, Path(folder))
    task = Task(command)
    return _call_hydra(command, [*hydra_words(flags), *checked], task) or task.code


def _run_sweep(command: Command, flags: Namespace, checked: list[str], folder: Path) -> int:
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise DataError(
            "-m under torchrun: torchrun starts one training; start each job by a torchrun of its own"
        )
    sweep = Sweep(folder)
    words = [word for word in checked if not word.startswith("hydra.sweep.dir=")]
    words = [*hydra_words(flags), *words, f"hydra.sweep.dir={quote(str(folder))}"]
    with sweep.open(), signals_stop(sweep):
        try:
            code = _call_hydra(command, words, Task(command, sweep))
        except KeyboardInterrupt:
            code = 130
        except (DataError, BrokenPipeError):
            raise
        except Exception:  # of the launcher: a worker was killed, say
            traceback.print_exc()
            code = 1
        reports, stopped = sweep.reports(), sweep.stopped
    failed = [report for report in reports if 0 < report.code < 128]
    done = sum(report.code == 0 for report in reports)
    command.tell(f"{done} jobs in {folder} are done" + (f", {len(failed)} failed:" if failed else ""))
    for report in failed:
        command.tell("failed", report.name)
    if stopped:
        command.tell(STOPPED)
        return 128 + stopped
    return max([code, *(report.code for report in failed)])


def _configure(command: Command, fixed: Sequence[str] = (), shared: Sequence[str] = ()) -> None:
    """Set Hydra's defaults: no files and no log of its own; folders of jobs named by their differences.

    fixed: keys that are the same in all jobs
    shared: keys that differ between jobs of one folder
    """
    dirname = JobConf.JobConfig.OverrideDirname(exclude_keys=[*fixed, *shared])
    name = "shared_folder" if shared else "file_name"
    config = HydraConf(
        output_subdir=None,
        run=RunDir(dir="."),
        sweep=SweepDir(dir=MISSING, subdir=f"${{{name}:${{hydra.job.override_dirname}}}}"),
        job=JobConf(name=command.name, config=JobConf.JobConfig(override_dirname=dirname)),
    )
    quiet = {"hydra_logging": "none", "job_logging": "none", "output": None}
    config.defaults = [{k: quiet.get(k, v) for k, v in choice.items()} for choice in config.defaults]
    ConfigStore.instance().store(group="hydra", name="config", node=config, provider=command.program)


def _call_hydra(command: Command, words: list[str], task: Task) -> int:
    """Run Hydra with words of a command line; return its exit code.

    Raises:
        DataError: Hydra refuses them.
    """
    with _process(command.program, words):
        try:
            hydra.main(version_base=VERSION, config_path=str(CONFIGS), config_name=command.config)(task)()
        except (HydraException, OmegaConfBaseException) as error:
            raise DataError(one_line(error)) from None
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
    return 0


@contextmanager
def _process(program: str, words: list[str]) -> Iterator[None]:
    """Set the words of this process and let Hydra raise its errors; restore these and logging afterwards."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    handlers, level = logging.root.handlers[:], logging.root.level
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [program, *words], "1"
    try:
        yield
    finally:
        sys.argv = argv
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


@dataclass
class Task:
    """Function for Hydra to call, in this or another process: `command` alone, or a job of `sweep`.

    code: exit code of the last call in this process
    """

    command: Command
    sweep: Sweep | None = None
    code: int = field(default=0, compare=False)

    def __call__(self, config: DictConfig) -> float | None:
        """Call the command with a composed config; in a sweep a failure becomes an infinite score."""
        hydras = HydraConfig.get()
        asked = keys_of(hydras.overrides.task)
        job = Job(asked, our_choices(hydras.runtime.choices))
        if self.sweep is None:
            score, self.code = self._call(config, job)
            return score
        job = replace(job, folder=self.sweep.folder / str(hydras.sweep.subdir))
        try:
            score, code = self._report(self.sweep, config, job, int(hydras.job.num))
        finally:
            with suppress(OSError):  # Hydra made the folder; it stays where the job has written into it
                os.rmdir(str(job.folder))
        return math.inf if code else score

    def _report(self, sweep: Sweep, config: DictConfig, job: Job, number: int) -> tuple[float | None, int]:
        """Run a job of a sweep and report its exit code there, unless the sweep was stopped."""
        if sweep.stopped is not None:
            return None, 128
        shared = [f"{key}={config[key]}" for key in self.command.shared if key in job.asked]
        own = [str(job.folder and job.folder.name)] if job.folder != sweep.folder else []
        name = ",".join([*own, *shared])
        self.command.tell(f"job {number} in {job.folder}{f' ({shared[0]})' if shared else ''}")
        score, code = self._call(config, job, name)
        sweep.report(number, name, code)
        if code > 128:
            sweep.stop(code - 128)
        return score, code

    def _call(self, config: DictConfig, job: Job, name: str = "") -> tuple[float | None, int]:
        """Return the score and the exit code."""
        command = self.command
        try:
            with signals_raise():
                return command.call(plain(config, job.choices), job), 0
        except (DataError, *command.faults) as error:
            command.tell(error, name)
            return None, 2
        except Stop as stop:
            command.tell(stop, name)
            return None, stop.code
        except MemoryError:
            command.tell("too little memory; take smaller numbers", name)
            return None, 2
        except Interrupted as stop:
            command.tell("interrupted", name)
            return None, 128 + stop.number
        except BrokenPipeError:  # the reader of the output is gone: a sweep ends too
            raise
        except OSError as error:
            if not _is_of_a_file(error):
                raise
            command.tell(_told(error), name)
            return None, 2
        except Exception:
            if self.sweep is None:
                raise
            traceback.print_exc()
            return None, 1
