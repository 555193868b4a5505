"""MONet: a frame as a mixture of slots, each with a mask (Burgess et al. 2019, arXiv 1901.11390)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.errors import UserError
from seqvae.nn.kinds import Attention, Component
from seqvae.nn.layers import in_full_precision
from seqvae.types import Encoding, FrameModel, Scene

MASKS = ("posterior", "decoder")


@register(FrameModel)
class MONet(FrameModel):
    """p(x_t | z_t) = prod over pixels of sum_k m_k N(x; colour_k(z), std_k^2), slot 0 the background.

    masks: whose m_k are in the likelihood. "posterior": the attention's, as published; they know x, so that
    is no density. "decoder": softmax over the slots' decoded logits, which makes it one. Only these exist in
    imagined frames; the encoder's learn in the likelihood alone where they stand in it, and not from being
    read. Beside the bound the two are drawn to each other by KL[attention's || decoder's], once
    for the decoder's sake (weight decoder_masks) and once for the attention's (attention_masks).
    attention: a network of seqvae/nn/masks.py. component: one of seqvae/nn/components.py. std,
    background_std: of the pixels of objects and background. velocity: whether the state has one, where the
    component has a place. slots: the number of objects; the model has one slot more.

    Raises:
        UserError: masks are of no known sort.
    """

    background_slots = 1  # that come first and keep their place

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        attention: Callable[..., Attention],
        component: Callable[..., Component],
        masks: str = "posterior",
        std: float = 0.11,
        background_std: float = 0.09,
        velocity: bool = False,
        decoder_masks: float = 0.5,
        attention_masks: float = 0.5,
    ):
        super().__init__()
        if masks not in MASKS:
            raise UserError(f"model.frame.masks={masks}: expected {' or '.join(MASKS)}")
        self.masks, self.slots = masks, slots + 1
        self.attention = attention(channels=channels, objects=slots)
        self.component = component(height=height, width=width, channels=channels, velocity=velocity)
        self.layout = self.component.layout
        self.auxiliary = {"decoder_masks": decoder_masks, "attention_masks": attention_masks}
        self.unnormalised = frozenset({"log_likelihood"} if masks == "posterior" else ())
        stds = torch.tensor([background_std, *[std] * slots])
        self.register_buffer("std", stds[:, None, None, None], persistent=False)

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Gaussians over the slots' numbers; the attention's log masks go with them as a feature."""
        image = rearrange(video, "b t c h w -> (b t) c h w")
        log_masks = self.attention(image)
        # masks in the likelihood learn there; drawn to what is decoded easily as well, they find less
        read = log_masks.detach() if self.masks == "posterior" else log_masks
        encoding = Encoding(*self.component.encode(image, read), {"log_masks": log_masks})
        return encoding.map(lambda x: x.unflatten(0, video.shape[:2]))

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Any,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """log p(x_t | z_t), and minus the KL of the masks twice, nats a frame.

        The gradient of decoder_masks reaches only what decodes z, that of attention_masks only the
        attention. Without encoding, as for imagined frames, there is only the likelihood, with the
        decoder's masks.
        """
        colours, log_decoded = self._decoded(z)
        density = gaussian_log_density(video[:, :, None], colours, self.std).sum(3)
        if encoding is None:
            return {"log_likelihood": _mixture(log_decoded, density)}
        log_seen = encoding.features["log_masks"]
        return {
            "log_likelihood": _mixture(log_seen if self.masks == "posterior" else log_decoded, density),
            "decoder_masks": -_kl(log_seen.detach(), log_decoded),
            "attention_masks": -_kl(log_seen, log_decoded.detach()),
        }

    def decode(self, z: Float[Tensor, "b t k d"], context: Any = None) -> Scene:
        """The slots' colours, mixed by the decoder's masks."""
        colours, log_masks = self._decoded(z)
        masks = log_masks.exp()
        return Scene((masks[:, :, :, None] * colours).sum(2).clamp(0, 1), masks)

    def _decoded(self, z: Tensor) -> tuple[Float[Tensor, "b t k c #h #w"], Float[Tensor, "b t k h w"]]:
        """Mean colours, and log masks that sum to one."""
        colours, logits = self.component.decode(z.flatten(0, 1))
        return tuple(x.unflatten(0, z.shape[:2]) for x in (colours, logits.log_softmax(1)))


def _mixture(
    log_masks: Float[Tensor, "b t k h w"], density: Float[Tensor, "b t k h w"]
) -> Float[Tensor, "b t"]:
    """The log of sum_k m_k p_k at each pixel, summed over them."""
    return (log_masks + density).logsumexp(2).sum((-2, -1))


def _kl(log_p: Float[Tensor, "b t k h w"], log_q: Float[Tensor, "b t k h w"]) -> Float[Tensor, "b t"]:
    """KL[p || q] over the slots, summed over pixels."""
    return (log_p.exp() * (log_p - log_q)).sum((-3, -2, -1))
