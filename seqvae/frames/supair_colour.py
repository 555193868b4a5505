"""SuPAIR in colour: each box shows one colour, and a sum-product network says how much of it each pixel has.

An extension of Stelzner et al. 2019 and Kossen et al. 2020 (arXiv 1910.02425), who reduce frames to grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot, pad

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.frames.supair import COLOUR_STD, SuPAIR
from seqvae.nn.glimpse import write
from seqvae.nn.kinds import BoxEncoder, ColourEncoder
from seqvae.types import Encoding, FrameModel, Scene

LEAST_CONTRAST = 0.1  # between an object and the background behind it, below which the share has no meaning


@register(FrameModel)
class ColourSuPAIR(SuPAIR):
    """An energy of colour frames given boxes and a colour for each.

    A pixel of a box is background + share (colour - background) + deviation. The share along the line from
    the background to the slot's colour has the density of the object SPN, and so has every object the same
    network, whatever its colour; the deviations across this line are independent N(0, deviation^2). Outside
    of the boxes, the background SPN sees all channels. All else is as in SuPAIR: the order of slots, what is
    marginalised, and that this is no normalised density.

    The state has the field `colour`, the colour that a box shows. The encoder reads it from the frame; where
    a box shows next to nothing of its object, as behind another one, its precision is 0.

    encoder: makes the network that proposes K boxes with their colours
    deviation: std of a pixel across the line between background and colour; the range of a channel is 1
    glimpse, overlap_rate, object_variance, background_variance, velocity: see SuPAIR

    Raises:
        UserError: `deviation` is not above 0.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        encoder: Callable[..., ColourEncoder],
        glimpse: int = 10,
        overlap_rate: float = 10.0,
        object_variance: tuple[float, float] = (0.12, 0.35),
        background_variance: tuple[float, float] = (0.002, 0.16),
        deviation: float = 0.35,
        velocity: bool = True,
    ):
        if not deviation > 0:
            raise UserError(f"model.frame.deviation={deviation}: expected a number above 0")
        self.shown = channels
        super().__init__(
            height,
            width,
            channels,
            slots,
            cast("Callable[..., BoxEncoder]", encoder),
            glimpse,
            overlap_rate,
            "pixels",
            object_variance,
            background_variance,
            velocity,
            colour=True,
        )
        self.deviation = deviation

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return boxes and colours; the precision of the velocity is 0, since one frame does not show it."""
        encoder = cast(ColourEncoder, self.encoder)
        mean, std, colour, tells = encoder(video.flatten(0, 1), self._backdrop().detach())
        encoding = Encoding(mean, std.square().reciprocal())
        if "velocity" in self.layout:
            encoding = encoding.map(lambda x: pad(x, (0, 2)))
        colour_precision = (tells * COLOUR_STD**-2)[..., None].expand_as(colour)
        encoding = Encoding(
            torch.cat([encoding.mean, colour], -1), torch.cat([encoding.precision, colour_precision], -1)
        )
        return encoding.map(lambda x: x.unflatten(0, video.shape[:2]))

    def _seen(self, frames: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return frames

    def _log_object(
        self, image: Float[Tensor, "n c h w"], z: Float[Tensor, "n k d"], visible: Float[Tensor, "n k g g"]
    ) -> Float[Tensor, "n k"]:
        size, position = self._box(z)
        # 1. the image and the line from the background to the colour, in each glimpse: n k c g g
        behind = self._read(self._backdrop().detach().expand_as(image), position, size)
        difference = self._read(image, position, size) - behind
        line = z[..., self.layout["colour"]][..., None, None] - behind
        # 2. the share along the line, and the squared deviation across it: n k g g
        contrast = line.square().sum(2).clamp_min(LEAST_CONTRAST**2)
        share = (difference * line).sum(2) / contrast
        across = difference.square().sum(2) - share.square() * contrast
        # 3. their densities; a share has the unit of the line's length
        log_share = self.objects(share.flatten(0, 1).flatten(1), visible.flatten(0, 1).flatten(1))
        variance, others = self.deviation**2, self.channels - 1
        log_across = -0.5 * (across / variance + others * math.log(2 * math.pi * variance) + contrast.log())
        return log_share.unflatten(0, visible.shape[:2]) + (visible * log_across).sum((-2, -1))

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the expected share of each box in its colour, over the expected background.

        Where boxes overlap, a pixel shows the slot with the largest share. Masks are the shares shown.
        """
        flat = rearrange(z, "b t k d -> (b t) k d")
        # 1. the expected glimpse, pasted at every box
        size, position = self._box(flat)
        look = self.objects.expectation().unflatten(0, (1, 1, 1, self.glimpse, self.glimpse)).clamp(0, 1)
        look = look.expand(*size.shape[:2], -1, -1, -1)  # n k 1 g g
        share = write(look, position, self._extent(size), self.height, self.width)[:, :, 0]  # n k h w
        rows, columns = self._cover(size, position)
        share = share * (rows[..., :, None] * columns[..., None, :])
        # 2. the slot with the largest share in each pixel
        nearest = rearrange(one_hot(share.argmax(1), share.shape[1]), "n h w k -> n k h w")
        masks = share * nearest
        # 3. over the background
        colour = flat[..., self.layout["colour"]]
        frames = einsum(masks, colour, "n k h w, n k c -> n c h w")
        frames = (frames + (1 - masks.sum(1))[:, None] * self._backdrop()).clamp(0, 1)
        return Scene(frames.unflatten(0, z.shape[:2]), masks.unflatten(0, z.shape[:2]))

    def _backdrop(self) -> Float[Tensor, "c h w"]:
        """Return the expected background."""
        return self.background.expectation().unflatten(0, (self.channels, self.height, self.width))
