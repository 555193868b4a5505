"""A variational autoencoder of whole frames: one code per frame, no objects.

Kingma & Welling 2014 (arXiv 1312.6114), Rezende et al. 2014 (arXiv 1401.4082).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.nn.kinds import ImageDecoder, ImageEncoder, Likelihood
from seqvae.nn.layers import in_full_precision, positive_std
from seqvae.types import Encoding, FrameModel, Scene

STD_FLOOR = 1e-3  # of the code, whose prior has a std around 1


@register(FrameModel)
class VAE(FrameModel):
    """p(x_t | z_t, h_t): a network from the code (and the context, if it reads one) to every pixel.

    The encoder's Gaussian over the code is the whole posterior of a plain VAE; a posterior that reads the
    context corrects it.

    encoder: makes the network from a frame to mean and std of the code
    decoder: makes the network from a code to `raw` pixels
    likelihood: of pixels given raw ones
    code: size of the code
    context: numbers of the dynamics' context that the decoder reads, as in a VRNN; 0 for none

    Raises:
        UserError: more than one slot is asked for.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        encoder: Callable[..., ImageEncoder],
        decoder: Callable[..., ImageDecoder],
        likelihood: Likelihood,
        code: int = 32,
        context: int = 0,
    ):
        super().__init__()
        if slots != 1:
            raise UserError(f"model.slots={slots}: a VAE of whole frames has one code a frame; give slots: 1")
        self.slots, self.context = slots, context
        self.layout = StateLayout((Field("code", code, "frame"),))
        self.encoder = encoder(height=height, width=width, channels=channels, size=2 * code)
        self.decoder = decoder(height=height, width=width, channels=channels, size=code + context)
        self.likelihood = likelihood
        self.unnormalised = frozenset() if likelihood.normalised else frozenset({"log_likelihood"})

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return the Gaussian over the code that the encoder gives to each frame alone."""
        out = self.encoder(rearrange(video, "b t c h w -> (b t) c h w")).to(video.dtype)
        mean, raw_std = rearrange(out, "(b t) d -> b t 1 d", b=len(video)).chunk(2, -1)
        std = positive_std(raw_std - 2, STD_FLOOR)  # starts near 0.1: with less noise a code is not ignored
        return Encoding(mean, std.pow(-2))

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return log p(x_t | z_t, h_t), nats per frame."""
        return {"log_likelihood": self.likelihood.log_prob(video, self._raw(z, context))}

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the means of the pixels."""
        return Scene(self.likelihood.mean(self._raw(z, context)).clamp(0, 1))

    def _raw(self, z: Float[Tensor, "b t k d"], context: Tensor | None) -> Float[Tensor, "b t c h w"]:
        """Return the decoder's output, before the link function."""
        code = z[:, :, 0, self.layout["code"]]
        if self.context:
            assert context is not None, "the dynamics gives a context, which `build` has checked"
            code = torch.cat([code, context], -1)
        return self.decoder(code.flatten(0, 1)).unflatten(0, z.shape[:2])
