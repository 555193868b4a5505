"""`python -m seqvae plan`: a planner acts in a simulator, on the truth or in a model that sees frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_gen.cli.command import Job
from data_gen.cli.configs import without_foreign_arguments
from data_gen.simulator import build_simulator
from seqvae import checkpoint
from seqvae.cli.data import SourceConfig, load_model, read_config
from seqvae.cli.run import known_arguments
from seqvae.config import instantiate
from seqvae.errors import UserError, require_at_least
from seqvae.evaluate.acted import METRICS, RANDOM, ActingScores, read_returns
from seqvae.io import atomic_write, output_folder, report_unwritable, show_progress
from seqvae.planning.acting import Acted, act, sample_starts
from seqvae.planning.learned import ModelWorld
from seqvae.planning.planner import Planner, RandomActions
from seqvae.planning.simulated import SimulatorWorld
from seqvae.shipped import run_folder
from seqvae.video import write_video
from seqvae.video.plans import Columns, PlanVideo

MODEL, SIMULATOR = "model", "simulator"


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """The keys of configs/plan.yaml. name: of the simulator's config"""

    run: str | None
    world: str
    planner: Mapping[str, Any]
    sim: Mapping[str, Any]
    name: str
    image_size: int
    simulations: int
    depth: int
    discount: float
    environments: int
    steps: int
    context: int
    goal: int | None
    near: float
    against: str | None
    out: str | None
    shown: int
    fps: int
    checkpoint: str
    device: str
    threads: int | None
    compile: bool
    seed: int
    plugins: tuple = ()

    def __post_init__(self):
        require_at_least(vars(self), environments=1, steps=1, context=2, shown=0, fps=1, image_size=1)
        require_at_least(vars(self), threads=1, goal=1)
        if not self.near > 0:
            raise UserError(f"near={self.near}: expected a distance above 0, in half-widths")
        if self.world not in (MODEL, SIMULATOR):
            raise UserError(f"world={self.world}: expected {MODEL} or {SIMULATOR}")
        if self.run is None and self.world == MODEL:
            raise UserError(f"run: is missing; name the model that plans, or say world={SIMULATOR}")
        if self.run is None and self.out is None:
            raise UserError("out: is missing; name a folder for the results, or a run=")

    def folder(self, row: str) -> Path:
        """Return the folder of the results."""
        if self.out is not None:
            return Path(self.out)
        assert self.run is not None  # checked above
        return run_folder(self.run) / "plans" / row.lower().replace(" ", "_")

    def source(self) -> SourceConfig:
        """Return what says which model is loaded, and how."""
        keys = ("checkpoint", "device", "threads", "compile", "seed", "plugins")
        return SourceConfig(run=str(self.run), data=None, **{key: getattr(self, key) for key in keys})


@show_progress()
def run(config: Mapping[str, Any], job: Job) -> None:
    """Let a planner act; write its returns, beside those of random actions, and a video."""
    config = without_foreign_arguments(config, job.asked, known_arguments)
    options = read_config(PlanConfig, config, job)
    given = {key: getattr(options, key) for key in ("simulations", "depth", "discount")}
    planner = instantiate(options.planner, "planner", Planner, **given)
    truth = SimulatorWorld(build_simulator(options.sim))
    planner.require_actions(truth.actions)
    view = _view(options, truth)
    about = asdict(options)
    row = RANDOM if isinstance(planner, RandomActions) else f"{type(planner).__name__} {options.world}"
    other = None if options.against is None else read_returns(options.against, about)
    out = options.folder(row)
    with output_folder(out):
        size, seed = options.image_size, options.seed
        starts = sample_starts(
            truth, options.environments, options.context, size, seed, options.goal, options.near
        )
        acted = act(planner, truth, starts, options.steps, seed, view, options.shown)
        returns = {row: acted.returns}
        if row != RANDOM:
            floor = RandomActions(**given)
            returns[RANDOM] = act(floor, truth, starts, options.steps, seed).returns
        if other is not None:
            returns.setdefault(*other)
        scores = ActingScores(
            row,
            returns,
            acted.rewards.size,
            acted.wall_seconds,
            acted.cpu_seconds,
            None if other is None else other[0],
            {"config": about},
        )
        print(scores.markdown())
        paths = _write(scores, acted, options, out)
    print("\n".join(str(path) for path in paths))


def _view(options: PlanConfig, truth: SimulatorWorld) -> ModelWorld | None:
    """Return the model as a world, if it is to plan; set the threads.

    Raises:
        UserError: there is no such model, it cannot plan, or it was trained on other actions or frames.
    """
    if options.world == SIMULATOR:
        if options.run is not None:
            checkpoint.find(options.run, options.checkpoint)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        return None
    model = load_model(options.source())
    view = ModelWorld(model.requires_grad_(False), None if options.goal is None else _no_reward)
    if options.goal is not None and "position" not in model.layout:
        raise UserError(f"goal={options.goal}: is a place of objects, and the states of this model have none")
    if view.actions != truth.actions:
        raise UserError(
            f"sim={options.name}: takes {truth.actions}, and the model follows {view.actions}; take the "
            "world of the data that it was trained on"
        )
    edge = options.image_size
    if (model.spec.height, model.spec.width, model.spec.channels) != (edge, edge, 3):
        raise UserError(
            f"image_size={edge}: the model was trained on frames of {model.spec.height} x {model.spec.width} "
            f"pixels; say image_size={model.spec.height}"
        )
    return view


def _no_reward(before: Tensor, action: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return rewards and ends of steps that nobody judges, as on the way to a goal."""
    nothing = after.new_zeros(len(after))
    return nothing, nothing


def _write(scores: ActingScores, acted: Acted, options: PlanConfig, out: Path) -> list[Path]:
    """Write video, table and numbers; metrics.json comes last, so that a folder with it is complete."""
    metrics, text, video = out / METRICS, out / "table.md", out / "plan.mp4"
    with report_unwritable(metrics):
        metrics.unlink(missing_ok=True)
    paths = [metrics, text]
    if len(acted.frames):
        panels = [
            PlanVideo(acted.frames[i], acted.lines[i], acted.rewards[i], scores.row)
            for i in range(len(acted.frames))
        ]
        write_video(video, Columns(panels), options.fps)
        paths.append(video)
    atomic_write(text, lambda file: file.write(scores.markdown().encode()))
    content = json.dumps(scores.as_dict(), indent=2, allow_nan=False) + "\n"
    atomic_write(metrics, lambda file: file.write(content.encode()))
    return paths
