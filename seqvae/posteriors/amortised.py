"""The amortised Gaussian posterior: the encoder's Gaussian, corrected by the memory of the dynamics.

Kingma & Welling 2014 (arXiv 1312.6114); with a context as in the VRNN (Chung et al. 2015, arXiv 1506.02216).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.nn.layers import mlp
from seqvae.types import Encoding, Posterior, Transition

WIDTH = 128  # of the network, if the config gives none


@register(Posterior)
class Amortised(Posterior):
    """q(z_t | x_t, h_t): the encoding, its mean and log-std shifted by a network of encoding and context.

    Starts as the encoding alone, and without a context stays that: the posterior of a plain VAE. Numbers that
    were not observed, or that no frame shows, follow the dynamics. Slots keep the frame's order.

    context: numbers of the dynamics' context that the network reads; 0 for no network
    hidden: width of the network, by default 128

    Raises:
        UserError: the state has a velocity, which one frame does not show; or a width without a context.
    """

    keeps_frame_order = True

    def __init__(self, layout: StateLayout, context: int = 0, hidden: int | None = None):
        super().__init__()
        if any(field.difference_of for field in layout.fields):
            raise UserError(
                "model.posterior: Amortised looks at one frame at a time, which shows no velocity; use "
                "Fused, or give model.frame.velocity=false"
            )
        if hidden is not None and not context:
            raise UserError(
                f"model.posterior.hidden={hidden}: Amortised has a network only with a context; give "
                "model.posterior.context (the numbers of the dynamics' context), or leave hidden out"
            )
        self.dim, self.context = layout.dim, context
        if context:
            width = WIDTH if hidden is None else hidden
            self.shift = mlp(2 * layout.dim + context, width, 2 * layout.dim, zero_last=True)

    def __call__(
        self, encoding: Encoding, transition: Transition, carry: None
    ) -> tuple[Normal, Encoding, None]:
        # 1. the encoding, with precision 0 for numbers that no frame shows
        unknown = (0, self.dim - encoding.mean.shape[-1])
        mean, precision = pad(encoding.mean, unknown), pad(encoding.precision, unknown)
        observed = precision > 0
        log_std = -0.5 * torch.where(observed, precision, 1.0).log()
        # 2. the correction by the context
        if self.context:
            h = cast(Tensor, transition.context)
            context = h[:, None].expand(*mean.shape[:-1], -1)
            shift = self.shift(torch.cat([mean, log_std, context], -1)).to(mean.dtype)
            mean_shift, log_std_shift = shift.chunk(2, -1)
            mean, log_std = mean + mean_shift, log_std + log_std_shift
        # 3. the prediction for what was not observed
        expected = cast(Normal, transition.proposal)
        q = Normal(
            torch.where(observed, mean, expected.mean), torch.where(observed, log_std.exp(), expected.std)
        )
        return q, encoding, carry
