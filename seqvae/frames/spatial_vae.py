"""A spatial VAE with a decoder: boxes with an appearance each, composed on a learned background.

The fixed-K relative of AIR (Eslami et al. 2016, arXiv 1603.08575), with alpha masks as in SPACE (Lin et
al. 2020, arXiv 2001.02407). Unlike SuPAIR it is a normalised density over colour frames.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.layout import VELOCITY, Field, StateLayout
from seqvae.nn.boxes import STD_FLOOR, encode_boxes
from seqvae.nn.glimpse import blob, write
from seqvae.nn.kinds import BoxEncoder
from seqvae.nn.layers import in_full_precision, mlp, output_layer
from seqvae.types import Encoding, FrameModel, Scene


@register(FrameModel)
class SpatialVAE(FrameModel):
    """p(x_t | z_t) = N(x_t; canvas(z_t), std^2): each slot's decoded glimpse, pasted at its box.

    A small network decodes an appearance to colour and alpha of a glimpse. With alphas a_k on the canvas, the
    objects together cover 1 - prod_k (1 - a_k) of a pixel and share that in proportion to a_k; the background
    image shows through the rest.

    encoder: makes the network that proposes K boxes
    appearance: size of the code of a glimpse
    glimpse: edge of the glimpses, samples
    hidden: width of the networks that read and draw a glimpse
    std: of the pixels, in units of the full range; the start value if it is learned
    learn_std: whether std is learned
    velocity: whether the state has one
    """

    has_background = True

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        encoder: Callable[..., BoxEncoder],
        appearance: int = 8,
        glimpse: int = 12,
        hidden: int = 64,
        std: float = 0.1,
        learn_std: bool = False,
        velocity: bool = True,
    ):
        super().__init__()
        self.height, self.width, self.channels, self.slots = height, width, channels, slots
        self.glimpse = glimpse
        self.layout = StateLayout(
            (
                Field("size", 2, "frame"),
                Field("position", 2, "product"),
                *((VELOCITY,) if velocity else ()),
                Field("appearance", appearance, "product"),
            )
        )
        self.encoder = encoder(height=height, width=width, slots=slots)
        self.size_limits = self.encoder.extent
        self.look = mlp(channels * glimpse**2, hidden, 2 * appearance)
        self.draw = mlp(appearance, hidden, hidden, (channels + 1) * glimpse**2)
        self.backdrop = nn.Parameter(torch.zeros(channels, height, width))
        self.log_std = nn.Parameter(torch.tensor(std).log(), requires_grad=learn_std)
        with torch.no_grad():  # alpha starts as a blob in the middle of the box, so that a box has a centre
            bias = output_layer(self.draw).bias
            bias.view(channels + 1, glimpse, glimpse)[-1].add_(blob(glimpse, peak=3, fall=5))

    def begin_background(self, image: Float[Tensor, "c h w"]) -> None:
        """Begin with this image as the backdrop, from which it is learned."""
        with torch.no_grad():
            self.backdrop.copy_(image)

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return boxes from the encoder, and appearance from their glimpses."""
        image = rearrange(video, "b t c h w -> (b t) c h w")
        difference = (image - self.backdrop.detach()).abs().sum(1).clamp(max=1)
        box, box_std, appearance, appearance_std = encode_boxes(
            self.encoder, self.look, image, difference, torch.zeros_like(difference[0]), self.glimpse
        )
        # one frame does not show a velocity
        unknown = [torch.zeros_like(box[..., :2])] if "velocity" in self.layout else []
        mean = torch.cat([box, *unknown, appearance], -1)
        precision = torch.cat([box_std.pow(-2), *unknown, appearance_std.pow(-2)], -1)
        return Encoding(mean, precision).map(lambda x: x.unflatten(0, video.shape[:2]))

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return log p(x_t | z_t), nats per frame."""
        canvas = self.decode(z).frames
        density = gaussian_log_density(video, canvas, self.log_std.exp() + STD_FLOOR)
        return {"log_likelihood": density.sum((-3, -2, -1))}

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the canvas, and as masks the share of each slot in each pixel."""
        # 1. colour and alpha of each slot's glimpse: n k c g g, n k 1 g g
        flat = rearrange(z, "b t k d -> (b t) k d")
        size, position = flat[..., self.layout["size"]].clamp(0.02, 2), flat[..., self.layout["position"]]
        drawn = self.draw(flat[..., self.layout["appearance"]]).sigmoid()
        drawn = drawn.unflatten(-1, (self.channels + 1, self.glimpse, self.glimpse))
        colour, alpha = drawn[:, :, :-1], drawn[:, :, -1:]
        # 2. pasted with colour premultiplied by alpha, so that the rim of a glimpse does not darken
        pasted = write(torch.cat([colour * alpha, alpha], 2), position, size, self.height, self.width)
        light, alpha = pasted[:, :, :-1], pasted[:, :, -1].clamp(0, 1)  # n k c h w, n k h w
        # 3. composed: what objects cover is shared in proportion to alpha, the backdrop shows in the rest
        covered = 1 - reduce(torch.mul, (1 - alpha).unbind(1))  # n h w
        share = covered / alpha.sum(1).clamp_min(1e-6)
        objects = light.sum(1) * share[:, None]
        canvas = (objects + (1 - covered)[:, None] * self.backdrop).clamp(0, 1)
        masks = alpha * share[:, None]
        return Scene(canvas.unflatten(0, z.shape[:2]), masks.unflatten(0, z.shape[:2]))
