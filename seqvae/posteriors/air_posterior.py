"""The posterior of AIR: a varying number of objects, asked slot by slot whether there is one more.

Eslami et al. 2016, arXiv 1603.08575; the baseline after Mnih & Gregor 2014 (NVIL, arXiv 1402.0030).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import CountedNormal, Normal, require_presence, stopping
from seqvae.layout import StateLayout
from seqvae.nn.layers import mlp
from seqvae.types import Encoding, Posterior, Transition

GUESS_UNIT = 100.0  # nats: an object explains hundreds of them, to which no network output has to grow


@register(Posterior)
class AIRPosterior(Posterior):
    """q(z_t | x_t) = q(n | x_t) prod_{k <= n} N(z_k; encoding), the first absent slot ends the count.

    The encoding of the presence is its logit, given that the slots before are present. A frame that was not
    observed follows the dynamics. Slots keep the frame's order.

    baseline: width of a network that guesses the objective of a frame from its encoding, for the gradient of
        ScoreFunctionELBO; 0 for none

    Raises:
        UserError: slots have no presence, or not as their first number.
    """

    keeps_frame_order = True
    has_presence = True

    def __init__(self, layout: StateLayout, baseline: int = 0):
        super().__init__()
        remedy = "use Fused or Amortised, or a frame model of a varying number of objects"
        require_presence(layout, "model.posterior: AIRPosterior", remedy)
        self.guess = mlp(layout.dim, baseline, 1) if baseline else None

    def baseline(self, encoding: Encoding) -> Float[Tensor, "b t"] | None:
        """Return a guess of the frame's objective, nats above the mean of a batch; None without a network.

        It passes no gradient to the encoder.
        """
        if self.guess is None:
            return None
        return GUESS_UNIT * self.guess(encoding.mean.detach()).to(encoding.mean.dtype).sum((-2, -1))

    def __call__(
        self, encoding: Encoding, transition: Transition, carry: None
    ) -> tuple[CountedNormal, Encoding, None]:
        logits, mean, precision = encoding.mean[..., 0], encoding.mean[..., 1:], encoding.precision[..., 1:]
        expected = cast(CountedNormal, transition.proposal)
        # 1. each slot, if it is present
        observed = precision > 0
        std = torch.where(observed, precision, 1.0).rsqrt()
        inner = Normal(
            torch.where(observed, mean, expected.inner.mean), torch.where(observed, std, expected.inner.std)
        )
        # 2. the number of slots that are present
        frame_observed = encoding.precision[..., 0].amax(-1, keepdim=True) > 0
        log_counts = torch.where(frame_observed, stopping(logits), expected.log_counts)
        return CountedNormal(log_counts, inner), encoding, carry
