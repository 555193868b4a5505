"""A world whose frames spell the positions out, and a model that reads them: everything exact to 1e-4.

The two pixels (0, k) and (1, k) hold x and y of object k as 16-bit numbers in their red and green channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from seqvae.data.sequences import Sequences
from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.posteriors.fused import Fused
from seqvae.sequence import SequenceModel
from seqvae.types import DataSpec, Dynamics, Encoding, FrameModel, Scene, Transition

SIZE, RANGE, LIMIT = 8, 8.0, 10.0  # image edge; numbers lie in [-8, 8]; simulator units of the model's data
EXACT = 1e8  # precision of what is read


def spell(positions: np.ndarray) -> np.ndarray:
    """Frames uint8 "n t h w 3" of positions "n t k 2" in half-widths."""
    n, t, k, _ = positions.shape
    number = np.clip(np.rint((positions + RANGE) / (2 * RANGE) * 65535), 0, 65535).astype(int)
    frames = np.zeros((n, t, SIZE, SIZE, 3), dtype=np.uint8)
    for axis in range(2):
        frames[:, :, axis, :k, 0], frames[:, :, axis, :k, 1] = np.divmod(number[..., axis], 256)
    return frames


def read(video: torch.Tensor, slots: int) -> torch.Tensor:
    """Positions "b t k 2" of a video "b t c h w"."""
    byte = (video * 255).round()
    number = 256 * byte[:, :, 0, :2, :slots] + byte[:, :, 1, :2, :slots]  # b t axis k
    return (number / 65535 * 2 * RANGE - RANGE).transpose(2, 3)


def sequences(positions: np.ndarray, velocities=None, **fields) -> Sequences:
    """Data of given positions and velocities in half-widths."""
    return Sequences(
        name="spelled",
        frames=spell(positions),
        positions=positions,
        velocities=velocities,
        coord_limit=LIMIT,
        **fields,
    )


class Reader(FrameModel):
    """Reads positions exactly; "velocity" is left to the posterior's differences."""

    def __init__(self, slots: int, velocity: bool = True):
        super().__init__()
        self.slots = slots
        moving = (Field("velocity", 2, "product", difference_of="position"),) if velocity else ()
        self.layout = StateLayout((Field("position", 2, "product"), *moving))

    def encode(self, video):
        mean = read(video, self.slots)
        precision = torch.full_like(mean, EXACT)
        nothing = torch.zeros(*mean.shape[:-1], self.layout.dim - 2)
        return Encoding(torch.cat([mean, nothing], -1), torch.cat([precision, nothing], -1))

    def terms(self, video, z, encoding, context):
        return {"log_likelihood": -(z[..., :2] - read(video, self.slots)).square().sum((-2, -1))}

    def decode(self, z, context=None):
        frames = spell(z[..., :2].numpy()).astype(np.float32) / 255
        return Scene(torch.as_tensor(frames).permute(0, 1, 4, 2, 3))


@dataclass(frozen=True)
class Last:
    z: torch.Tensor | None
    like: torch.Tensor


class Motion(Dynamics):
    """x' = x + v' + push[action], v' = damping v, each with noise of one std."""

    def __init__(self, layout: StateLayout, damping: float = 1.0, noise: float = 1e-4, push=None):
        super().__init__()
        self.layout, self.damping, self.noise, self.push = layout, damping, noise, push

    def init(self, batch, like):
        return Last(None, like.new_zeros(batch, like.shape[-2], self.layout.dim))

    def predict(self, carry, prev_action):
        if carry.z is None:
            first = Normal(carry.like, torch.full_like(carry.like, 10.0))
            return Transition(first, first)
        z = carry.z.clone()
        if "velocity" in self.layout:
            z[..., 2:] = self.damping * z[..., 2:]
            z[..., :2] = z[..., :2] + z[..., 2:]
        if self.push is not None:
            z[..., :2] = z[..., :2] + torch.as_tensor(self.push[prev_action], dtype=z.dtype)[:, None]
        # the proposal knows next to nothing, so that the posterior is what was read
        return Transition(Normal(z, torch.full_like(z, self.noise)), Normal(z, torch.ones_like(z)))

    def update(self, carry, z, encoding):
        return Last(z, carry.like)


def model(
    slots: int = 2, velocity: bool = True, actions: int = 0, width: int = SIZE, **motion
) -> SequenceModel:
    """A model that reads exactly and predicts by `Motion`."""
    frame = Reader(slots, velocity)
    dynamics = Motion(frame.layout, **motion)
    spec = DataSpec(SIZE, width, 3, actions, slots, LIMIT)
    return SequenceModel(frame, Fused(dynamics.layout), dynamics, spec).eval()


def straight(rng, n: int = 3, t: int = 20, k: int = 2, speed: float = 0.03):
    """Positions and velocities of objects in straight flight, "n t k 2", in half-widths."""
    start, velocity = rng.uniform(-0.4, 0.4, (n, 1, k, 2)), rng.uniform(-speed, speed, (n, 1, k, 2))
    return start + velocity * np.arange(t)[:, None, None], np.broadcast_to(velocity, (n, t, k, 2)).copy()
