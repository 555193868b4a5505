"""A sequence model: frame model, posterior and dynamics, joined by two loops over time.

One filters, one imagines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqvae.distributions import draw, draw_scored, point
from seqvae.errors import UserError
from seqvae.tree import stack_frames
from seqvae.types import Carry, Distribution, Dynamics, Evidence, FrameModel, Posterior, Scene, Trace


@dataclass(frozen=True)
class _Step:
    z: Tensor
    prior: Distribution
    posterior: Distribution | None
    evidence: Evidence | None
    context: Tensor | None
    log_posterior: Tensor | None = None


class SequenceModel(nn.Module):
    """p(x_1:T, z_1:T) = prod_t p(z_t | z_<t, a_<t) p(x_t | z_t), with a filtering posterior.

    actions: the number of discrete actions that the dynamics was made for. As the attribute `actions` it is
    the number that the model follows: 0 for a dynamics that ignores them. A model that follows actions must
    be given one a frame; one made without any refuses them; one that ignores them takes either.
    """

    def __init__(self, frame: FrameModel, posterior: Posterior, dynamics: Dynamics, actions: int = 0):
        super().__init__()
        self.ignores_actions = getattr(dynamics, "ignores_actions", False)
        self.actions = 0 if self.ignores_actions else actions
        self.frame = frame
        self.posterior = posterior
        self.dynamics = dynamics
        self.layout = dynamics.layout
        self.background_slots = getattr(frame, "background_slots", 0)

    def init(self, batch: int, like: Tensor) -> Carry:
        """The carry before the first frame, on the device and in the dtype of `like`."""
        return Carry(self.dynamics.init(batch, like), self.posterior.init(batch, like))

    def filter(
        self,
        video: Float[Tensor, "b t c h w"],
        prev_actions: Tensor | None = None,
        carry: Carry | None = None,
        observed: Bool[Tensor, "b t"] | None = None,
        sample: bool = False,
    ) -> Trace:
        """Infer z_1:T, frame by frame; frame t sees x_1:t only.

        prev_actions[:, t] led to frame t. observed[:, t] False marks a missing frame (its pixels are
        ignored, and may be NaN). With `carry` from an earlier trace, goes on where that one ended. By default
        every state is the posterior's point estimate, with sample=True a draw from it, as objectives need it.

        Raises:
            UserError: the model follows actions and was given none, or the other way round, or not one a
                frame.
        """
        evidence = self.frame.encode(blanked(video, observed))
        if observed is not None:
            evidence = evidence.observed(observed)
        return self.infer(evidence, prev_actions, carry, sample, observed)

    def infer(
        self,
        evidence: Evidence,
        prev_actions: Tensor | None = None,
        carry: Carry | None = None,
        sample: bool = False,
        observed: Bool[Tensor, "b t"] | None = None,
    ) -> Trace:
        """The part of `filter` after encoding: from evidence "b t ..." to a trace.

        observed: as in `filter`, which has already taken what was not seen out of the evidence.
        """
        batch, length = evidence.mean.shape[:2]
        self._check_actions("prev_actions", prev_actions, length)
        carry = carry or self.init(batch, evidence.mean)
        steps = []
        for t in range(length):
            action = None if prev_actions is None else prev_actions[:, t]
            transition = self.dynamics.predict(carry.dynamics, action)
            q, evidence_t, posterior_carry = self.posterior(evidence.at(t), transition, carry.posterior)
            z, log_q = draw_scored(q) if sample else (point(q), None)
            read = evidence_t
            if observed is not None:
                read = self._with_imagined(evidence_t, observed[:, t], z, transition.context)
            state = self.dynamics.update(transition.carried(carry.dynamics), z, read)
            carry = Carry(state, posterior_carry)
            steps.append(_Step(z, transition.prior, q, evidence_t, transition.context, log_q))
        return _trace(steps, carry)

    def imagine(
        self, carry: Carry, horizon: int, actions: Tensor | None = None, sample: bool = False
    ) -> Trace:
        """Roll the dynamics out for `horizon` frames; actions[:, 0] leads to the first imagined frame.

        With sample=False each state is the transition's mean, with sample=True a draw from p(z_t | z_<t).

        Raises:
            UserError: as in `filter`, of `actions`.
        """
        self._check_actions("actions", actions, horizon)
        choose = draw if sample else point
        state, steps = carry.dynamics, []
        for t in range(horizon):
            transition = self.dynamics.predict(state, None if actions is None else actions[:, t])
            z = choose(transition.prior)
            read = self._imagined(z, transition.context)
            state = self.dynamics.update(transition.carried(state), z, read)
            steps.append(_Step(z, transition.prior, None, None, transition.context))
        # the frame before the next one has not been seen
        return _trace(steps, Carry(state, self.posterior.init(z.shape[0], z)))

    def _check_actions(self, name: str, given: Tensor | None, frames: int) -> None:
        """Raise UserError unless a model that follows actions has one a frame, and any other none."""
        if given is None:
            if self.actions:
                raise UserError(f"{name}: the model follows {self.actions} actions; give one a frame, 'b t'")
        elif not self.actions and not self.ignores_actions:
            raise UserError(f"{name}: the model was made for data without actions; leave them out")
        elif given.shape[1] != frames:
            raise UserError(f"{name}: there are {given.shape[1]} for {frames} frames; give one a frame")

    def _imagined(self, z: Tensor, context: Tensor | None) -> Evidence | None:
        """What the frame model sees of its own frame of a state, for dynamics that read frames."""
        if not getattr(self.dynamics, "reads_frames", False):
            return None
        frames = self.frame.decode(z[:, None], None if context is None else context[:, None]).frames
        return self.frame.encode(frames).at(0)

    def _with_imagined(
        self, evidence: Evidence, observed: Bool[Tensor, "b"], z: Tensor, context: Tensor | None
    ) -> Evidence:
        """The evidence that the dynamics reads: imagined where the frame was not observed."""
        imagined = self._imagined(z, context)
        if imagined is None:
            return evidence
        seen = observed[:, None, None]
        return Evidence(
            torch.where(seen, evidence.mean, imagined.mean),
            torch.where(seen, evidence.precision, imagined.precision),
        )

    def decode(self, trace: Trace) -> Scene:
        """The frames that the states of a trace stand for."""
        return self.frame.decode(trace.z, trace.context)

    def positions(self, z: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k 2"] | None:
        """Slot positions (x right, y down, each from -1 to 1), or None for models without them."""
        return z[..., self.layout["position"]] if "position" in self.layout else None

    def presence(self, z: Float[Tensor, "b t k d"]) -> Bool[Tensor, "b t k"] | None:
        """Which slots stand for an object, or None for models whose slots always do."""
        return z[..., self.layout["presence"]].squeeze(-1) > 0.5 if "presence" in self.layout else None

    def velocities(self, z: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k 2"] | None:
        """Slot velocities, positions per frame, or None for models without velocities."""
        return z[..., self.layout["velocity"]] if "velocity" in self.layout else None


def blanked(
    video: Float[Tensor, "b t c h w"], observed: Bool[Tensor, "b t"] | None
) -> Float[Tensor, "b t c h w"]:
    """Replace missing frames by black ones, so that no pixel of theirs reaches a number or a gradient.

    Masking results alone is not enough: the gradient of a masked NaN is 0 times NaN.
    """
    return video if observed is None else video.masked_fill(~observed[..., None, None, None], 0)


def _trace(steps: list[_Step], carry: Carry) -> Trace:
    s = stack_frames(steps)
    return Trace(s.z, s.prior, s.posterior, s.evidence, s.context, carry, s.log_posterior)
