"""The least that can be trained: a model of three tiny parts, and clips as a function of seed and step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from seqvae.data.clips import ClipRequest
from seqvae.distributions import Normal
from seqvae.elbo import elbo
from seqvae.layout import Field, StateLayout
from seqvae.objectives import Objective
from seqvae.sequence import SequenceModel
from seqvae.train.learner import Learner
from seqvae.train.optim import Cosine, Optim
from seqvae.train.runtime import ONE, Ranks
from seqvae.train.stages import TrainerOptions
from seqvae.train.trainer import Trainer
from seqvae.train.validation import Report
from seqvae.types import DataSpec, Dynamics, Encoding, FrameModel, Posterior, Scene, Transition

SPEC = DataSpec(height=4, width=4, channels=1, actions=0, objects=1, coord_limit=1.0)


class LinearFrame(FrameModel):
    """x_t ~ Normal(W z_t, 1), one slot."""

    def __init__(self, noise: bool):
        super().__init__()
        self.slots, self.noise = 1, noise
        self.layout = StateLayout((Field("position", 2, "product"),))
        self.see, self.draw = nn.Linear(16, 2), nn.Linear(2, 16)

    def encode(self, video: Tensor) -> Encoding:
        mean = self.see(rearrange(video, "b t c h w -> b t 1 (c h w)"))
        return Encoding(mean, torch.full_like(mean, 4.0))

    def terms(self, video, z, encoding, context) -> dict[str, Tensor]:
        error = rearrange(video, "b t c h w -> b t (c h w)") - self.draw(z[:, :, 0])
        return {"log_likelihood": -0.5 * error.square().sum(-1)}

    def decode(self, z, context=None) -> Scene:
        return Scene(rearrange(self.draw(z[:, :, 0]), "b t (c h w) -> b t c h w", c=1, h=4))


class RandomWalk(Dynamics):
    def __init__(self, layout: StateLayout):
        super().__init__()
        self.layout, self.pull = layout, nn.Parameter(torch.tensor(0.9))

    def init(self, batch, like):
        return like.new_zeros(batch, 1, 2)

    def predict(self, carry, prev_action):
        prior = Normal(self.pull * carry, torch.ones_like(carry))
        return Transition(prior, prior)

    def update(self, carry, z, encoding):
        return z


class FromFrame(Posterior):
    """q(z_t | x_t): the encoding alone; without noise its mean."""

    def __init__(self, noise: bool):
        super().__init__()
        self.noise = noise

    def init(self, batch, like):
        return like.new_zeros(batch)

    def __call__(self, encoding, transition, carry):
        q = Normal(encoding.mean, encoding.precision.rsqrt())
        return (q if self.noise else Certain(q.mean, q.std)), encoding, carry


class Certain(Normal):
    """A Normal that always draws its mean."""

    def rsample(self):
        return self.mean


def tiny_model(noise: bool = True) -> SequenceModel:
    torch.manual_seed(5)
    frame = LinearFrame(noise)
    return SequenceModel(frame, FromFrame(noise), RandomWalk(frame.layout), SPEC)


class Bound(Objective):
    def __call__(self, model, batch, progress):
        trace = model.filter(batch.video, batch.prev_actions, sample=True)
        return elbo(model, batch.video, trace), trace


objective = Bound()


@dataclass(frozen=True)
class Batch:
    video: Tensor
    prev_actions: Tensor | None = None


class Clips:
    """Noise around a pattern; not a number from step `bad_from` on."""

    def __init__(self, bad_from: int | None = None):
        self.bad_from = bad_from

    def batch(self, request: ClipRequest) -> Batch:
        generator = torch.Generator().manual_seed(1000 * request.seed + request.step)
        video = torch.rand(request.batch_size, request.clip_length, 1, 4, 4, generator=generator)
        if self.bad_from is not None and request.step >= self.bad_from:
            video[0, 1, 0, 2, 3] = float("nan")
        return Batch(video[request.rank :: request.world_size])


def validate(model: SequenceModel) -> Report:
    """A validation that draws random numbers: they must not disturb the training's."""
    batch = Clips().batch(ClipRequest(0, 8, 5, seed=99))
    terms, _ = objective(model, batch, 1.0)
    bound = terms.objective().mean().item()
    return Report({"bound": bound}, criterion=-bound, images={"frames": batch.video[0, 0]})


def trainer(
    run: Path,
    noise: bool = True,
    optim: Optim | None = None,
    clips: Clips | None = None,
    ranks: Ranks = ONE,
    **options,
) -> Trainer:
    """A trainer of the tiny model; options as in TrainerOptions."""
    torch.manual_seed(11)
    chosen = {"steps": 20, "batch_size": 4, "clip_length": 5, "log_every": 5, "validate_every": 10} | options
    optim = optim or Optim(lr=0.01, amsgrad=True, schedule=Cosine(final=0.1, warmup=3))
    learner = Learner(tiny_model(noise), objective, optim, ranks=ranks)
    torch.manual_seed(7)
    run.mkdir(exist_ok=True)
    return Trainer(
        learner,
        clips or Clips(),
        validate,
        TrainerOptions(**chosen),
        run,
        {"model": {}},
        seed=3,
        device=torch.device("cpu"),
    )


def weights(trained: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trained.learner.model_state().items()}


def untrained() -> dict[str, Any]:
    """The `training` of a checkpoint of which nothing is damaged, before the first update."""
    return {
        "start": {},
        "elapsed": 0.0,
        "validated": 0,
        "best": None,
        "rng": [{"cpu": torch.get_rng_state()}],
        "learner": {"optimiser": {}, "weights": None},
    }
