"""Trackers of experiments, beside the log of a run: TensorBoard, Weights & Biases, MLflow.

Each is a thin adapter to a package that is an extra. Numbers are named kind/name, as "validation/found". A
tracker that fails while a training runs is left out from then on, and never ends the training.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from seqvae.data.conversion import to_frames
from seqvae.errors import UserError, did_you_mean
from seqvae.io import atomic_write

AUTO = "auto"  # TensorBoard where it is installed
IDS = "trackers.json"  # in a run: tracker -> identity of its run there
PROJECT = "seqvae"  # of Weights & Biases, and experiment of MLflow, unless their variables name another
MLFLOW_STORE = "mlruns"  # folder beside the run's
PARAMETERS = 100  # of a request to MLflow
LONGEST = 500  # characters of a parameter in MLflow


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers know it.

    folder: folder of the run
    step: number of updates at which it begins or continues
    config: config as plain data
    identity: identity at the tracker of the run that is continued; None for a new one
    """

    folder: Path
    step: int
    config: Mapping[str, Any]
    identity: str | None = None


@runtime_checkable
class Tracker(Protocol):
    """Receives numbers, pictures and texts of a run."""

    @property
    def identity(self) -> str | None:
        """Identity of the run at the tracker, by which it is continued; None if its folder is enough."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None: ...

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None: ...

    def text(self, name: str, step: int, text: str) -> None: ...

    def close(self, complete: bool) -> None: ...


class TensorBoard:
    """Event files in RUN/tensorboard."""

    identity = None

    def __init__(self, run: TrackedRun):
        from torch.utils.tensorboard import SummaryWriter

        purge = run.step + 1 if run.step else None
        self.writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=purge)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        self.writer.add_image(name, image, step, dataformats="HWC")

    def text(self, name: str, step: int, text: str) -> None:
        self.writer.add_text(name, text, step)

    def close(self, complete: bool) -> None:
        self.writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; its files are in RUN/wandb.

    The variables WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE and so on hold. The step is a number like the
    others, since wandb drops steps that a resumed run does again.
    """

    def __init__(self, run: TrackedRun):
        import wandb  # pyright: ignore[reportMissingImports]

        self.images = wandb.Image
        self.identity = run.identity or secrets.token_hex(4)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(run.folder),
            name=run.folder.name,
            config=dict(run.config),
            id=self.identity,
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({**values, "step": step})

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        self.run.log({name: self.images(image), "step": step})

    def text(self, name: str, step: int, text: str) -> None:
        self.run.summary.update({f"{name} at step {step}": text})

    def close(self, complete: bool) -> None:
        self.run.finish(exit_code=0 if complete else 1)


class MLflow:
    """A run of MLflow: at MLFLOW_TRACKING_URI, else in the folder `mlruns` beside the run's.

    The experiment is MLFLOW_EXPERIMENT_NAME, or seqvae.
    """

    def __init__(self, run: TrackedRun):
        # a server that is gone must not hold up a training for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        address = os.environ.get("MLFLOW_TRACKING_URI")
        if not address:
            os.environ.setdefault(
                "MLFLOW_ALLOW_FILE_STORE", "true"
            )  # no longer its default, which is a database
            address = str(run.folder.resolve().parent / MLFLOW_STORE)
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
        from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

        self.metric, self.client = Metric, MlflowClient(tracking_uri=address)
        if run.identity is not None and self._exists(run.identity):
            self.identity = run.identity
            self.client.update_run(self.identity, status="RUNNING")
            return
        self.identity: str = self.client.create_run(self._experiment(), run_name=run.folder.name).info.run_id
        parameters = [Param(key, str(value)[:LONGEST]) for key, value in _flatten(run.config)]
        for first in range(0, len(parameters), PARAMETERS):
            self.client.log_batch(self.identity, params=parameters[first : first + PARAMETERS])

    def _exists(self, identity: str) -> bool:
        from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

        try:
            return self.client.get_run(identity).info.lifecycle_stage == "active"
        except MlflowException:  # made at another address, or deleted
            return False

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        return self.client.create_experiment(name) if found is None else found.experiment_id

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self.metric(name, x, now, step) for name, x in values.items() if np.isfinite(x)]
        self.client.log_batch(self.identity, metrics=metrics)

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        self.client.log_image(self.identity, image, key=name, step=step)

    def text(self, name: str, step: int, text: str) -> None:
        self.client.set_tag(self.identity, f"{name}.{step}", text)

    def close(self, complete: bool) -> None:
        self.client.set_terminated(self.identity, "FINISHED" if complete else "KILLED")


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of nested mappings."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


TRACKERS: dict[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def tracker_names(wanted: object, key: str = "trainer.tracker") -> tuple[str, ...]:
    """Return the trackers that an option names: one, several, none, or `auto`.

    Raises:
        UserError: there is no such tracker.
    """
    names = (wanted,) if isinstance(wanted, str) else wanted or ()
    if not isinstance(names, Sequence):
        raise UserError(f"{key}={wanted}: expected {', '.join(TRACKERS)}, or a list of them")
    for name in names:
        if name not in TRACKERS and wanted != AUTO:
            raise UserError(f"{key}={name}: no such tracker; {did_you_mean(str(name), TRACKERS)}")
    return tuple(dict.fromkeys(names))


def installed_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of trackers, with TensorBoard for `auto` where it is installed.

    Raises:
        UserError: the package of another one is not installed.
    """
    if AUTO in names:
        try:
            import torch.utils.tensorboard  # noqa: F401  of torch, and fails without the package tensorboard
        except ImportError:
            return ()
        return ("tensorboard",)
    for name in names:
        if not _is_installed(name):
            raise UserError(f'trainer.tracker={name}: is not installed; pip install "seqvae[{name}]"')
    return tuple(names)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # of a module without a spec
        return False


class Trackers:
    """The trackers of one run, all at once; one that fails is left out from then on.

    failures: sentences on trackers that failed since the last look at them
    """

    def __init__(self, opened: Mapping[str, Tracker] | None = None):
        self.opened = dict(opened or {})
        self.failures: list[str] = []

    @classmethod
    def open(cls, names: Sequence[str], folder: Path, step: int, config: Mapping[str, Any]) -> Trackers:
        """Open trackers for the run in `folder`, which continue those of the run if it has some.

        Raises:
            UserError: a tracker cannot start.
        """
        path = folder / IDS
        known = json.loads(path.read_text()) if path.is_file() else {}
        trackers = cls()
        for name in names:
            try:
                trackers.opened[name] = TRACKERS[name](TrackedRun(folder, step, config, known.get(name)))
            except Exception as error:  # of any kind: they are foreign, and talk to servers
                trackers.close(complete=False)
                raise UserError(
                    f"trainer.tracker={name}: cannot start ({_first_line(error)}); leave it out, or mend that"
                ) from None
        made = {name: tracker.identity for name, tracker in trackers.opened.items() if tracker.identity}
        if made.keys() - known.keys() or any(known[name] != made[name] for name in made):
            content = json.dumps(known | made) + "\n"
            atomic_write(path, lambda file: file.write(content.encode()))
        return trackers

    def scalars(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Track numbers, named kind/name."""
        named = {f"{kind}/{name}": value for name, value in values.items()}
        self._each(lambda tracker: tracker.scalars(step, named))

    def image(self, name: str, step: int, image: Float[Tensor, "c h w"]) -> None:
        """Track an image in [0, 1]."""
        if self.opened:
            pixels = to_frames(image[None, None])[0, 0].cpu().numpy()
            self._each(lambda tracker: tracker.image(name, step, pixels))

    def text(self, name: str, step: int, text: str) -> None:
        """Track a text."""
        self._each(lambda tracker: tracker.text(name, step, text))

    def close(self, complete: bool) -> None:
        """Close all trackers. complete: whether the training has ended, and not been stopped."""
        self._each(lambda tracker: tracker.close(complete))
        self.opened.clear()

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.opened.items()):
            try:
                call(tracker)
            except Exception as error:  # a full disk, a server that is gone: the training goes on
                del self.opened[name]
                self.failures.append(f"{name} failed, and is left out from now on ({_first_line(error)})")
                with suppress(Exception):
                    tracker.close(False)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
