"""Soft segmentation by stick-breaking: log masks of a background and K objects that sum to one at a pixel.

Each object takes a share of what the ones before it have left (the scope), log m_k = log scope + log alpha.
Slot 0 is the background.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, logsigmoid

from seqvae.nn.glimpse import pixel_centres
from seqvae.nn.precision import full_precision
from seqvae.nn.unet import UNet
from seqvae.types import UserError

NEAREST = 1e-4  # half a squared distance to a seed, below which none is: log(1 - alpha) stays finite


class RecurrentAttention(nn.Module):
    """MONet's attention (Burgess et al. 2019, arXiv 1901.11390): a U-Net on (x, log scope), slot by slot.

    alpha = sigmoid of its output; the background comes first, and the last object takes the rest.
    features: of the U-Net's levels.
    """

    def __init__(self, channels: int, objects: int, features: tuple[int, ...] = (16, 32, 32, 32)):
        super().__init__()
        self.objects = objects
        self.unet = UNet(channels + 1, 1, features)
        with torch.no_grad():  # each slot starts with half of what is left
            self.unet.out.bias.zero_()

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """log m, k = 0 the background."""
        log_scope = torch.zeros_like(image[:, :1])
        log_masks = []
        for _ in range(self.objects):
            logit = self.unet(torch.cat([image, log_scope], 1)).to(image.dtype)
            log_masks.append(log_scope + logsigmoid(logit))
            log_scope = log_scope + logsigmoid(-logit)
        return torch.cat([*log_masks, log_scope], 1)


class SeedAttention(nn.Module):
    """Each object grows from a seed, over the pixels whose embedding is near to the seed's.

    After instance colouring stick-breaking (Engelcke et al. 2021, GENESIS-V2, arXiv 2104.09958): one U-Net
    for all slots tells at each pixel whether it is of an object, and an embedding, to which the pixel's
    place is added, so that objects of equal looks differ (semi-convolutional, Novotny et al. 2018). A seed
    is the middle of the largest scope; its embedding is drawn to the mean of those near to it; alpha =
    exp(-distance^2 / 2). What no object takes is the background. Nothing is drawn at random.

    reach: how far from its seed an object extends at first, half-widths. embedding: its numbers. shifts: how
    often the seed is drawn to its surroundings.

    Raises:
        UserError: an embedding of less than 2 numbers.
    """

    def __init__(
        self,
        channels: int,
        objects: int,
        features: tuple[int, ...] = (16, 32, 32, 32),
        embedding: int = 8,
        reach: float = 0.3,
        shifts: int = 1,
    ):
        super().__init__()
        if embedding < 2:
            raise UserError(f"model.frame.attention.embedding={embedding}: at least 2, for the pixel's place")
        self.objects, self.reach, self.shifts = objects, reach, shifts
        self.unet = UNet(channels, 1 + embedding, features)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """log m, k = 0 the background; not under autocast, where places would be off by pixels."""
        with full_precision(image.device):
            out = self.unet(image)
            embedding = out[:, 1:] + self._places(out)
            log_scope = logsigmoid(out[:, 0])
            log_masks, log_rest = [], logsigmoid(-out[:, 0])
            for _ in range(self.objects):
                distance = self._distance(embedding, log_scope).clamp_min(NEAREST)
                log_masks.append(log_scope - distance)
                log_scope = log_scope + torch.log(-torch.expm1(-distance))
            log_background = torch.logaddexp(log_rest, log_scope)
            return torch.stack([log_background, *log_masks], 1)

    def _places(self, out: Float[Tensor, "n o h w"]) -> Float[Tensor, "e h w"]:
        """The pixels' places, in units of `reach`, as the first two numbers of the embedding."""
        y, x = (pixel_centres(n, out) / self.reach for n in out.shape[-2:])
        place = out.new_zeros(out.shape[1] - 1, *out.shape[-2:])
        place[0], place[1] = x, y[:, None]
        return place

    def _distance(
        self, embedding: Float[Tensor, "n e h w"], log_scope: Float[Tensor, "n h w"]
    ) -> Float[Tensor, "n h w"]:
        """Half the squared distance of every pixel's embedding to that of the next seed."""
        scope = log_scope.exp()
        flat = embedding.flatten(2)
        chosen = _middle(scope.detach())
        seed = flat.take_along_dim(chosen[:, None, None], 2)[..., None]  # n e 1 1
        for _ in range(self.shifts):
            weight = scope * torch.exp(-0.5 * (embedding - seed).square().sum(1))
            mass = weight.sum((-2, -1))[:, None] + 1e-6
            mean = (embedding * weight[:, None]).sum((-2, -1)) + 1e-6 * seed[..., 0, 0]
            seed = (mean / mass)[..., None, None]
        return 0.5 * (embedding - seed).square().sum(1)


def _middle(scope: Float[Tensor, "n h w"]) -> Int[Tensor, "n"]:
    """The pixel, of all counted row by row, around which the most is left."""
    return avg_pool2d(scope[:, None], 5, stride=1, padding=2).flatten(1).argmax(1)
