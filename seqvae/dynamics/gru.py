"""Recurrent dynamics: the state of a GRU holds everything that matters of the past.

With `reads_frames` and a decoder that reads the context this is the VRNN (Chung et al. 2015, arXiv
1506.02216); without both, a state-space model whose transition has a memory.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqvae.config import register
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import StateLayout
from seqvae.nn.layers import full_precision, mlp, positive_std
from seqvae.types import Dynamics, Encoding, Transition

STD_FLOOR = 1e-2  # a prior sharper than this makes rollouts no better, and its gradients large


@register(Dynamics)
class GRUDynamics(Dynamics):
    """p(z_t | h_t), h_t = GRU(z_t-1, x_t-1; h_t-1), slots taken together in their order.

    The discrete action that leads to frame t, one-hot, shifts h_t. The shifted h_t is the context, and the
    state from which the GRU goes on.

    actions: number of discrete actions; 0 without
    context: size of h_t
    hidden: width of the network from h_t to the prior
    reads_frames: whether the GRU reads the encoding of the frame beside z; an imagined frame has the model's
        own

    Raises:
        UserError: reads_frames with several slots, or with a velocity.
    """

    def __init__(
        self,
        frame_layout: StateLayout,
        slots: int,
        actions: int = 0,
        context: int = 256,
        hidden: int = 128,
        reads_frames: bool = False,
    ):
        super().__init__()
        if reads_frames and (slots > 1 or any(field.difference_of for field in frame_layout.fields)):
            raise UserError(
                "model.dynamics.reads_frames: in a frame that it imagined the model would not know which "
                "slot is which, nor see a velocity; give false, or a frame model of whole frames"
            )
        self.layout, self.slots, self.context, self.reads_frames = frame_layout, slots, context, reads_frames
        size = slots * frame_layout.dim
        self.first = nn.Parameter(torch.zeros(context))
        self.act = nn.Embedding(actions, context) if actions else None
        self.prior = mlp(context, hidden, 2 * size)
        self.cell = nn.GRUCell(size * (2 if reads_frames else 1), context)

    def init(self, batch: int, like: Tensor) -> Float[Tensor, "b h"]:
        return self.first.expand(batch, -1)

    def predict(self, carry: Float[Tensor, "b h"], prev_action: Int[Tensor, "b"] | None = None) -> Transition:
        h = carry
        if self.act is not None and prev_action is not None:
            h = h + self.act(prev_action)
        with full_precision(h.device):
            out = rearrange(self.prior(h), "b (k d) -> b k d", k=self.slots)
        mean, raw_std = out.chunk(2, -1)
        prior = Normal(mean, positive_std(raw_std, STD_FLOOR))
        return Transition(prior, prior, h, carry=h)

    def update(
        self, carry: Float[Tensor, "b h"], z: Float[Tensor, "b k d"], encoding: Encoding | None
    ) -> Float[Tensor, "b h"]:
        read = z
        if self.reads_frames:
            assert encoding is not None, "every frame, imagined ones too, is encoded for such dynamics"
            read = torch.cat([z, encoding.mean], -1)
        return self.cell(rearrange(read, "b k d -> b (k d)"), carry).to(z.dtype)
