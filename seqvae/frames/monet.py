"""MONet: a frame as a mixture of slots, each with a mask (Burgess et al. 2019, arXiv 1901.11390)."""

from __future__ import annotations

from collections.abc import Callable

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

    There are two sorts of masks: those of the attention, which know x, and those of the decoder, a softmax
    over the slots' decoded logits, which imagined frames have as well. KL[attention's || decoder's] draws
    them to each other, beside the bound: once with a gradient for the decoder alone and once for the
    attention alone. The component reads the attention's masks, and passes a gradient to them only if they are
    not in the likelihood.

    slots: number of objects; the model has one slot more
    attention: makes the network of the masks
    component: makes the network that encodes what a mask shows, and decodes it
    masks: the m_k of the likelihood: those of the "posterior" (the attention), as published, which is no
        density, or those of the "decoder", which is one
    std, background_std: of the pixels of objects and background
    velocity: whether the state has one, for components that have a place
    decoder_masks, attention_masks: weights of the KL for the decoder and for the attention

    Raises:
        UserError: `masks` is no known sort.
    """

    std: Tensor  # (k, 1, 1, 1)
    background_slots = 1

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
        """Return Gaussians over the slots' numbers, with the attention's log masks as a feature."""
        image = rearrange(video, "b t c h w -> (b t) c h w")
        log_masks = self.attention(image)
        # masks in the likelihood learn there; if the component moves them as well, they find fewer objects
        read = log_masks.detach() if self.masks == "posterior" else log_masks
        encoding = Encoding(*self.component.encode(image, read), {"log_masks": log_masks})
        return encoding.map(lambda x: x.unflatten(0, video.shape[:2]))

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return log p(x_t | z_t), and minus the KL of the masks twice, nats per frame.

        The gradient of decoder_masks reaches only the decoder and z, that of attention_masks only the
        attention. Imagined frames have the likelihood alone, with the decoder's masks.
        """
        colours, log_decoded = self._decoded(z)
        density = gaussian_log_density(video[:, :, None], colours, self.std).sum(3)
        if encoding is None:
            return {"log_likelihood": _mixture(log_decoded, density)}
        log_attention = encoding.features["log_masks"]
        log_masks = log_attention if self.masks == "posterior" else log_decoded
        return {
            "log_likelihood": _mixture(log_masks, density),
            "decoder_masks": -_kl(log_attention.detach(), log_decoded),
            "attention_masks": -_kl(log_attention, log_decoded.detach()),
        }

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the slots' colours, mixed by the decoder's masks."""
        colours, log_masks = self._decoded(z)
        masks = log_masks.exp()
        return Scene((masks[:, :, :, None] * colours).sum(2).clamp(0, 1), masks)

    def _decoded(
        self, z: Float[Tensor, "b t k d"]
    ) -> tuple[Float[Tensor, "b t k c #h #w"], Float[Tensor, "b t k h w"]]:
        """Return mean colours, and log masks that sum to one."""
        colours, logits = self.component.decode(z.flatten(0, 1))
        return colours.unflatten(0, z.shape[:2]), logits.log_softmax(1).unflatten(0, z.shape[:2])


def _mixture(
    log_masks: Float[Tensor, "b t k h w"], density: Float[Tensor, "b t k h w"]
) -> Float[Tensor, "b t"]:
    """Return log sum_k m_k p_k, summed over pixels."""
    return (log_masks + density).logsumexp(2).sum((-2, -1))


def _kl(log_p: Float[Tensor, "b t k h w"], log_q: Float[Tensor, "b t k h w"]) -> Float[Tensor, "b t"]:
    """Return KL[p || q] over the slots, summed over pixels."""
    return (log_p.exp() * (log_p - log_q)).sum((-3, -2, -1))
