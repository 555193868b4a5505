"""State of a session: a sequence up to one of its frames, changes to its objects, and the imagined future.

It needs no browser: a notebook can make a Scene, change it, and look at its `future()`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seqvae import interventions
from seqvae.data.conversion import to_video
from seqvae.errors import UserError
from seqvae.layout import require_fields
from seqvae.rollout import device_of, record
from seqvae.sequence import SequenceModel
from seqvae.streams import Stream
from seqvae.train.runtime import seed_everything
from seqvae.tree import map_record, short_repr
from seqvae.types import Trace

FILTERED = 512  # present scenes that are kept


@dataclass(frozen=True)
class Future:
    """An imagined future. Its frame 0 is the scene from which it starts.

    Positions are coordinates of the picture, x in half-widths and y in half-heights; NaN if a slot is absent.

    slots: number of each of the j objects among the model's slots, which count from 0
    frames: t h w c, uint8, of the mean path
    positions: t j 2, of the mean path
    ghosts: s t j 2, of sampled futures
    velocities: j 2, of the scene, coordinates per frame; None for models without
    """

    __repr__ = short_repr

    slots: tuple[int, ...]
    frames: UInt8[np.ndarray, "t h w c"]
    positions: Float[np.ndarray, "t j 2"]
    ghosts: Float[np.ndarray, "s t j 2"]
    velocities: Float[np.ndarray, "j 2"] | None = None


class Scene:
    """A sequence filtered up to a frame, changes to its objects, and the imagined future.

    Slots count from 0 and keep their number when others are removed. The future of an unchanged scene is that
    of `roll_out` with the same context, bit for bit. Sampled futures start from the same scene as the mean
    path, and keep their noise while objects are changed, until `resample`.

    index: number of the sequence, from 0
    frame: number of observed frames, from 1
    edits: the changes since the frame was observed, in words
    action: action that leads to every imagined frame; None for those of the data
    """

    def __init__(
        self,
        model: SequenceModel,
        frames: UInt8[np.ndarray, "n t h w c"],
        prev_actions: Int[np.ndarray, "n t"] | None = None,
        horizon: int = 30,
        samples: int = 8,
        seed: int = 0,
    ):
        """Filter the first frame of the first sequence.

        frames: as on disk.
        prev_actions: [:, t] led to frame t. Models that follow no actions ignore them.
        horizon: frames to imagine.
        samples: number of sampled futures.

        Raises:
            UserError: a slot of the model has no position, or its dynamics remembers more than a state.
        """
        require_playable(model)
        self.model, self.frames = model, frames
        self.prev_actions = prev_actions if model.actions else None
        self.horizon, self.samples, self.seed = horizon, samples, seed
        self.draw = 0
        self.action: int | None = None
        self.index, self.frame = 0, 1
        self._filtered = lru_cache(FILTERED)(self._filter)
        self.reset()

    @property
    def imagines(self) -> bool:
        """True if the model relates a frame to the one before; else there is only the scene itself."""
        return not self.model.dynamics.frames_independent

    @property
    def edited(self) -> bool:
        """True once an object was changed: the truth is then no measure of the future."""
        return bool(self.edits)

    # The place in the data.

    def open(self, index: int) -> None:
        """Show another sequence, at the same frame; without changes."""
        if not 0 <= index < len(self.frames):
            raise UserError(f"there is no sequence {index}: the data has 0 to {len(self.frames) - 1}")
        self.index = index
        self.reset()

    def look(self, frame: int) -> None:
        """Observe the first `frame` frames, from 1; without changes."""
        length = self.frames.shape[1]
        if not 1 <= frame <= length:
            raise UserError(f"there is no frame {frame}: the sequences have frames 1 to {length}")
        self.frame = frame
        self.reset()

    def observed(self) -> UInt8[np.ndarray, "h w c"]:
        """Return the last observed frame."""
        return self.frames[self.index, self.frame - 1]

    def truth(self) -> UInt8[np.ndarray, "t h w c"]:
        """Return the last observed frame and those after it, as many as the future has or the data holds."""
        start = self.frame - 1
        return self.frames[self.index, start : start + 1 + (self.horizon if self.imagines else 0)]

    # Changes.

    def move(self, slot: int, to: tuple[float, float]) -> None:
        """Move an object to (x, y), coordinates of the picture."""
        at = self._place(slot)
        by = [end - start for end, start in zip(to, self._positions()[at].tolist(), strict=True)]
        self._change(f"moved {slot}", lambda: interventions.move(self.model, self.trace, at, (by[0], by[1])))

    def push(self, slot: int, velocity: tuple[float, float]) -> None:
        """Give an object a velocity, coordinates per frame."""
        at = self._place(slot)
        self._change(f"pushed {slot}", lambda: interventions.push(self.model, self.trace, at, velocity))

    def swap(self, a: int, b: int) -> None:
        """Let two objects change places. Each keeps its number, look, size and velocity."""
        first, second = self._place(a), self._place(b)
        self._change(
            f"swapped {a} and {b}",
            lambda: interventions.swap(self.model, self.trace, first, second, ("position",)),
        )

    def remove(self, slot: int) -> None:
        """Take an object out of the scene; it is decoded no more and pushes no other."""
        at = self._place(slot)
        self._change(f"removed {slot}", lambda: interventions.drop(self.model, self.trace, at))
        self.kept = self.kept[:at] + self.kept[at + 1 :]

    def reset(self) -> None:
        """Undo all changes since the frame was observed."""
        self.trace = self._filtered(self.index, self.frame)
        self.kept = tuple(range(self.trace.z.shape[2]))
        self.edits: tuple[str, ...] = ()

    # The future.

    def resample(self) -> None:
        """Draw other sampled futures."""
        self.draw += 1

    def follow(self, action: int | None) -> None:
        """Let one action lead to every imagined frame; None: those of the data.

        Raises:
            UserError: the model follows no such action.
        """
        if action is not None and not 0 <= action < self.model.actions:
            raise UserError(f"there is no action {action}: the model follows {self.model.actions}")
        self.action = action

    def length(self) -> int:
        """Return the number of frames to imagine: `horizon`, or as many as the data has actions for."""
        if not self.imagines:
            return 0
        if self.prev_actions is None or self.action is not None:
            return self.horizon
        return min(self.horizon, self.prev_actions.shape[1] - self.frame)

    def future(self) -> Future:
        """Imagine the future of the scene: its mean path with frames, and positions in sampled futures."""
        model, length = self.model, self.length()
        with torch.inference_mode():
            scene = record(model, self.trace, 1, decode=True)
            frames, positions = scene.pictures(), _places(scene.positions)
            ghosts = np.zeros((0, 0, *positions.shape[2:]), positions.dtype)
            if length > 0:
                actions = self._actions(length)
                imagined = self._imagine(length, actions)  # 0 the mean path, then the samples
                mean = map_record(lambda x: x[:1], imagined)
                if not self.edited:  # alone, since in a batch it differs from a rollout in its last bits
                    mean = model.imagine(self.trace.carry, length, actions)
                path = record(model, mean, 0, decode=True)
                frames = np.concatenate([frames, path.pictures()], 1)
                positions = np.concatenate([positions, _places(path.positions)], 1)
                ghosts = _places(record(model, imagined, 0, decode=False).positions)[1:]
        return self._future(frames, positions, ghosts, scene.velocities)

    def _future(
        self,
        frames: UInt8[np.ndarray, "1 t h w c"],
        positions: Float[np.ndarray, "1 t k 2"],
        ghosts: Float[np.ndarray, "s _ k 2"],
        velocities: Float[np.ndarray, "1 1 k 2"] | None,
    ) -> Future:
        """Return the future of the slots that are objects; ghosts begin with the scene like the mean path."""
        objects = [at for at, slot in enumerate(self.kept) if slot >= self.model.background_slots]
        positions = positions[0][:, objects]
        starts = np.broadcast_to(positions[:1], (len(ghosts), 1, *positions.shape[1:]))
        cloud = np.concatenate([starts, ghosts[:, :, objects]], 1)
        speeds = None if velocities is None else velocities[0, 0, objects]
        return Future(tuple(self.kept[at] for at in objects), frames[0], positions, cloud, speeds)

    def _imagine(self, length: int, actions: Int[Tensor, "1 t"] | None) -> Trace:
        """Imagine the mean path and the sampled futures in one batch, with the noise of this draw."""
        device, count = device_of(self.model), 1 + self.samples
        carry = map_record(lambda x: x.repeat_interleave(count, 0), self.trace.carry)
        repeated = None if actions is None else actions.expand(count, -1)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_everything(self.seed, Stream.PLAY, self.draw)
            return self.model.imagine(carry, length, repeated, sample=torch.arange(count, device=device) > 0)

    def _actions(self, length: int) -> Int[Tensor, "1 t"] | None:
        if self.prev_actions is None:
            return None
        if self.action is not None:
            return torch.full((1, length), self.action, device=device_of(self.model))
        chosen = self.prev_actions[self.index : self.index + 1, self.frame : self.frame + length]
        return torch.as_tensor(chosen, device=device_of(self.model))

    def _filter(self, index: int, frame: int) -> Trace:
        """Return the state of frame number `frame`, from all frames up to it, with the carry after it."""
        device, chosen = device_of(self.model), slice(index, index + 1)
        video = to_video(torch.as_tensor(self.frames[chosen, :frame], device=device))
        led_to = None
        if self.prev_actions is not None:
            led_to = torch.as_tensor(self.prev_actions[chosen, :frame], device=device)
        with torch.no_grad():
            trace = self.model.filter(video, led_to)
        context = None if trace.context is None else trace.context[:, -1:]
        # without the densities and the encoded frames, which may be large
        return replace(trace, z=trace.z[:, -1:], context=context, posterior=None, encoding=None)

    def _positions(self) -> Float[Tensor, "k 2"]:
        return self.trace.z[0, -1][:, self.model.layout["position"]]

    def _place(self, slot: int) -> int:
        """Return the place of a slot in the trace.

        Raises:
            UserError: it was removed, is absent, or never existed.
        """
        if slot not in self.kept:
            raise UserError(f"there is no object {slot} in the scene")
        at = self.kept.index(slot)
        presence: Bool[Tensor, "1 1 k"] | None = self.model.presence(self.trace.z)
        if presence is not None and not presence[0, 0, at]:
            raise UserError(f"slot {slot} is absent: the model sees no object there")
        return at

    def _change(self, words: str, change: Callable[[], Trace]) -> None:
        self.trace = change()
        self.edits = (*(edit for edit in self.edits if edit != words), words)


def require_playable(model: SequenceModel) -> None:
    """Raise UserError unless objects have places that can be changed, and the future follows the change."""
    require_fields(model.layout, ("position",), "play", "use a model of objects, such as stove")
    interventions.require_editable(model)


def _places(positions: np.ndarray | None) -> np.ndarray:
    assert positions is not None, "require_playable refuses models without positions"
    return positions
