"""A sequence model: frame model, posterior and dynamics, joined by two loops over time.

One loop filters a video, the other imagines its future. Everything that crosses a time step is in an explicit
carry, so that a trace can be continued, batched and changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqvae.data.conversion import as_video
from seqvae.distributions import draw, point, sample_with_log_prob
from seqvae.errors import UserError
from seqvae.tree import stack_frames
from seqvae.types import (
    Carry,
    DataSpec,
    Distribution,
    Dynamics,
    Encoding,
    FrameModel,
    Posterior,
    RewardModel,
    Scene,
    Trace,
)


@dataclass(frozen=True)
class _Step:
    """The part of a Trace that belongs to one frame."""

    z: Tensor
    prior: Distribution
    posterior: Distribution | None
    encoding: Encoding | None
    context: Tensor | None
    log_posterior: Tensor | None = None


class SequenceModel(nn.Module):
    """p(x_1:T, z_1:T) = prod_t p(z_t | z_<t, a_<t) p(x_t | z_t), with a filtering posterior.

    A model that follows actions must be given one per frame. A model made without actions refuses them; one
    whose dynamics ignores them accepts both.

    spec: the data for which the parts were made
    config: plain data from which `build` makes the parts
    reward: p(r_t, end_t | z_t-1, a_t-1, z_t), None for a model without; it takes no part in filtering and
        imagining
    actions: number of discrete actions that the model follows, 0 if the dynamics ignores them
    ignores_actions: whether the dynamics takes no notice of actions
    layout: fields of the d axis, those of the frame model first
    background_slots: number of slots, the first ones, that stand for no object and keep their place
    """

    def __init__(
        self,
        frame: FrameModel,
        posterior: Posterior,
        dynamics: Dynamics,
        spec: DataSpec,
        config: Mapping[str, Any] | None = None,
        reward: RewardModel | None = None,
    ):
        super().__init__()
        self.spec, self.config = spec, dict(config or {})
        self.ignores_actions = dynamics.ignores_actions
        self.actions = 0 if self.ignores_actions else spec.actions
        self.frame = frame
        self.posterior = posterior
        self.dynamics = dynamics
        self.reward = reward
        self.layout = dynamics.layout
        self.background_slots = frame.background_slots

    def init(self, batch: int, like: Tensor) -> Carry:
        """Return the carry before the first frame, on the device and in the dtype of `like`."""
        return Carry(self.dynamics.init(batch, like), self.posterior.init(batch, like))

    def filter(
        self,
        video: Tensor | np.ndarray | list[Any],
        prev_actions: Tensor | None = None,
        carry: Carry | None = None,
        observed: Bool[Tensor, "b t"] | None = None,
        sample: bool = False,
    ) -> Trace:
        """Infer z_1:T frame by frame; the state of frame t depends on x_1:t only.

        video: float tensor "b t c h w" in [0, 1], which is taken as it is; also uint8, NumPy, colours last
            and a single sequence (`as_video`), which then move to the device of the model
        prev_actions: "b t", the action that led to each frame
        carry: from an earlier trace, to go on where it ended; by default a new sequence begins
        observed: False marks a missing frame, whose pixels are ignored and may be NaN
        sample: draw states from the posterior, as objectives need it, instead of taking point estimates

        Raises:
            UserError: the model follows actions and was given none, or the other way round, or not one per
                frame; or the frames have another size than those of the model.
        """
        video = self._as_video(video)
        encoding = self.frame.encode(blank_missing(video, observed))
        if observed is not None:
            encoding = encoding.observed(observed)
        return self.infer(encoding, prev_actions, carry, sample, observed)

    def _as_video(self, frames: Tensor | np.ndarray | list[Any]) -> Float[Tensor, "b t c h w"]:
        """Return `as_video`; what had to be converted moves to the device of the weights."""
        video = as_video(frames, self.spec)
        return video if video is frames else video.to(next(self.parameters()).device)

    def infer(
        self,
        encoding: Encoding,
        prev_actions: Tensor | None = None,
        carry: Carry | None = None,
        sample: bool = False,
        observed: Bool[Tensor, "b t"] | None = None,
    ) -> Trace:
        """Infer z_1:T from encoding "b t ...": `filter` after its encoding.

        observed: as in `filter`, which has already removed missing frames from the encoding; the dynamics
            needs it if it reads frames
        """
        batch, length = encoding.mean.shape[:2]
        self._check_actions("prev_actions", prev_actions, length)
        carry = carry or self.init(batch, encoding.mean)
        steps = []
        with self.dynamics.unchanged():
            for t in range(length):
                # 1. predict z_t before its frame is seen
                action = None if prev_actions is None else prev_actions[:, t]
                transition = self.dynamics.predict(carry.dynamics, action)
                # 2. correct the prediction by the frame; encoding_t has the order of the predicted slots
                q, encoding_t, posterior_carry = self.posterior(encoding.at(t), transition, carry.posterior)
                z, log_q = sample_with_log_prob(q) if sample else (point(q), None)
                # 3. go on from the corrected state
                read = encoding_t
                if observed is not None:  # a dynamics that reads frames gets its own where one is missing
                    read = self._with_imagined(encoding_t, observed[:, t], z, transition.context)
                state = self.dynamics.update(transition.carried(carry.dynamics), z, read)
                carry = Carry(state, posterior_carry)
                steps.append(_Step(z, transition.prior, q, encoding_t, transition.context, log_q))
        return _trace(steps, carry)

    def imagine(
        self,
        carry: Carry,
        horizon: int,
        actions: Tensor | None = None,
        sample: bool | Bool[Tensor, "b"] = False,
    ) -> Trace:
        """Roll the dynamics out for `horizon` frames.

        actions: "b t"; actions[:, 0] leads to the first imagined frame
        sample: draw each state from p(z_t | z_<t) instead of taking its mean; a tensor says for which
            sequences

        Raises:
            UserError: as in `filter`, about `actions`.
        """
        self._check_actions("actions", actions, horizon)
        at_once = self.dynamics.imagine(carry.dynamics, horizon, actions, sample)
        if at_once is not None:
            posterior = self.posterior.init(len(at_once.z), at_once.z[:, -1])
            return Trace(at_once.z, at_once.prior, None, None, None, Carry(at_once.carry, posterior))
        state, steps = carry.dynamics, []
        for t in range(horizon):
            transition = self.dynamics.predict(state, None if actions is None else actions[:, t])
            z = _choose(transition.prior, sample)
            read = self._imagined(z, transition.context)
            state = self.dynamics.update(transition.carried(state), z, read)
            steps.append(_Step(z, transition.prior, None, None, transition.context))
        # the posterior starts over, since its carry holds the frame before, and imagined frames have none
        last = steps[-1].z
        return _trace(steps, Carry(state, self.posterior.init(last.shape[0], last)))

    def _check_actions(self, name: str, given: Tensor | None, frames: int) -> None:
        """Raise UserError unless actions fit: one per frame for a model that follows them, else none."""
        if given is None:
            if self.actions:
                raise UserError(f"{name}: the model follows {self.actions} actions; give one a frame, 'b t'")
        elif not self.actions and not self.ignores_actions:
            raise UserError(f"{name}: the model was made for data without actions; leave them out")
        elif given.shape[1] != frames:
            raise UserError(f"{name}: there are {given.shape[1]} for {frames} frames; give one a frame")

    def _imagined(self, z: Tensor, context: Tensor | None) -> Encoding | None:
        """Encode the decoded frame of z, for dynamics that read frames (VRNN); else return None."""
        if not self.dynamics.reads_frames:
            return None
        frames = self.frame.decode(z[:, None], None if context is None else context[:, None]).frames
        return self.frame.encode(frames).at(0)

    def _with_imagined(
        self, encoding: Encoding, observed: Bool[Tensor, "b"], z: Tensor, context: Tensor | None
    ) -> Encoding:
        """Return the encoding that the dynamics reads: of the imagined frame where none was observed."""
        imagined = self._imagined(z, context)
        if imagined is None:
            return encoding
        is_observed = observed[:, None, None]
        return Encoding(
            torch.where(is_observed, encoding.mean, imagined.mean),
            torch.where(is_observed, encoding.precision, imagined.precision),
        )

    def decode(self, trace: Trace) -> Scene:
        """Decode the states of a trace."""
        return self.frame.decode(trace.z, trace.context)

    def identity(self, z: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b k n"]:
        """Return the numbers by whose squared distances slots are told apart: the position, or what the
        posterior matches by.

        z: states, or what frames say of them, of a model with positions
        """
        numbers = self.posterior.identity(z)
        return z[..., self.layout["position"]] if numbers is None else numbers

    def positions(self, z: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k 2"] | None:
        """Return slot positions (x right, y down, each in [-1, 1]), or None for models without them."""
        return z[..., self.layout["position"]] if "position" in self.layout else None

    def presence(self, z: Float[Tensor, "b t k d"]) -> Bool[Tensor, "b t k"] | None:
        """Return the slots that stand for an object, or None for models whose slots always do."""
        return z[..., self.layout["presence"]].squeeze(-1) > 0.5 if "presence" in self.layout else None

    def velocities(self, z: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k 2"] | None:
        """Return slot velocities, in positions per frame, or None for models without them."""
        return z[..., self.layout["velocity"]] if "velocity" in self.layout else None


def blank_missing(
    video: Float[Tensor, "b t c h w"], observed: Bool[Tensor, "b t"] | None
) -> Float[Tensor, "b t c h w"]:
    """Replace missing frames by black ones, so that their pixels reach neither a number nor a gradient.

    It is not enough to mask results: the gradient of a masked NaN is 0 times NaN.
    """
    return video if observed is None else video.masked_fill(~observed[..., None, None, None], 0)


def _choose(q: Distribution, sample: bool | Bool[Tensor, "b"]) -> Float[Tensor, "b k d"]:
    """Draw z ~ q where `sample` is true; else return its point estimate."""
    if isinstance(sample, Tensor):
        return torch.where(sample[:, None, None], draw(q), point(q))
    return draw(q) if sample else point(q)


def _trace(steps: list[_Step], carry: Carry) -> Trace:
    s = stack_frames(steps)
    return Trace(s.z, s.prior, s.posterior, s.encoding, s.context, carry, s.log_posterior)
