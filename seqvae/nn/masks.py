"""Networks that segment an image into soft masks, one of the background and K of objects.

The masks break a stick: each object takes a share alpha_k of the pixels that the objects before it have left,
its scope, so log m_k = log scope_k + log alpha_k and log scope_k+1 = log scope_k + log(1 - alpha_k). At every
pixel the masks sum to 1. Slot 0 is the background.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, logsigmoid, relu

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.nn.glimpse import pixel_centres
from seqvae.nn.kinds import Attention
from seqvae.nn.layers import full_precision, lecun_normal_

MIN_DISTANCE = 1e-4  # of half squared distances to a seed: keeps log(1 - alpha) finite at the seed itself


class UNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597), for images of any size.

    Convolutions go down to a coarse grid and up again; on the way up, each level is joined with the level of
    its size on the way down. The last layer starts small, so that the output starts near 0.

    inputs, outputs: channels
    features: channels per level; each level after the first halves the image, rounded up
    """

    def __init__(self, inputs: int, outputs: int, features: tuple[int, ...] = (16, 32, 32, 32)):
        super().__init__()
        befores = (inputs, *features[:-1])
        # half the fan-in: a ReLU halves the variance that passes (He et al. 2015)
        self.down = nn.ModuleList(
            lecun_normal_(
                nn.Conv2d(before, after, 3, stride=1 if level == 0 else 2, padding=1), 9 * before / 2
            )
            for level, (before, after) in enumerate(zip(befores, features, strict=True))
        )
        self.up = nn.ModuleList(
            lecun_normal_(nn.Conv2d(below + here, here, 3, padding=1), 9 * (below + here) / 2)
            for here, below in zip(features[-2::-1], features[:0:-1], strict=True)
        )
        self.out = nn.Conv2d(features[0], outputs, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h w"]:
        image = image.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU
        levels = []
        for layer in self.down:
            image = relu(layer(image))
            levels.append(image)
        for layer, skip in zip(self.up, levels[-2::-1], strict=True):
            image = relu(layer(torch.cat([interpolate(image, skip.shape[-2:]), skip], 1)))
        return self.out(image)


@register(Attention)
class RecurrentAttention(nn.Module):
    """MONet's attention (Burgess et al. 2019, arXiv 1901.11390): a U-Net on (x, log scope), slot by slot.

    alpha_k is the sigmoid of its output. The background comes first; the last object takes what is left.

    objects: number of objects K
    features: channels per level of the U-Net
    """

    def __init__(self, channels: int, objects: int, features: tuple[int, ...] = (16, 32, 32, 32)):
        super().__init__()
        self.objects = objects
        self.unet = UNet(channels + 1, 1, features)
        assert self.unet.out.bias is not None
        with torch.no_grad():  # alpha starts near 1/2: every slot gets a share, and a gradient
            self.unet.out.bias.zero_()

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """Return log m, with the background at k = 0."""
        log_scope = torch.zeros_like(image[:, :1])  # n 1 h w
        log_masks = []
        for _ in range(self.objects):
            logit = self.unet(torch.cat([image, log_scope], 1)).to(image.dtype)
            log_masks.append(log_scope + logsigmoid(logit))
            log_scope = log_scope + logsigmoid(-logit)
        return torch.cat([*log_masks, log_scope], 1)


@register(Attention)
class SeedAttention(nn.Module):
    """Attention that grows each object from a seed pixel, over the pixels whose embedding is near the seed's.

    After instance colouring stick-breaking (Engelcke et al. 2021, GENESIS-V2, arXiv 2104.09958). One U-Net
    for all slots yields, per pixel, the probability to belong to any object and an embedding. The pixel's
    place is added to the embedding, so that objects of equal looks differ (semi-convolutional, Novotny et
    al. 2018). The seed of object k is the pixel in the middle of its scope; alpha_k = exp(-distance^2 / 2)
    in the space of embeddings. Unlike GENESIS-V2, no seed is drawn at random. The background is the rest.

    objects: number of objects K
    features: channels per level of the U-Net
    embedding: size of the embedding, at least 2 for the place
    reach: half-widths from its seed over which an object extends at the start
    shifts: number of mean-shift steps that move a seed to the mean of the embeddings near it

    Raises:
        UserError: the embedding has fewer than 2 numbers.
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
        """Return log m, with the background at k = 0."""
        with full_precision(image.device):  # in bfloat16 places would be off by pixels
            out = self.unet(image)
            embedding = out[:, 1:] + self._places(out)  # n e h w
            # 1. the first output splits each pixel between objects, the scope, and background
            log_scope = logsigmoid(out[:, 0])  # n h w
            log_masks, log_rest = [], logsigmoid(-out[:, 0])
            # 2. each object takes exp(-distance) of its scope
            for _ in range(self.objects):
                distance = self._distance(embedding, log_scope).clamp_min(MIN_DISTANCE)
                log_masks.append(log_scope - distance)
                log_scope = log_scope + torch.log(-torch.expm1(-distance))
            # 3. what no object takes is the background's as well
            log_background = torch.logaddexp(log_rest, log_scope)
            return torch.stack([log_background, *log_masks], 1)

    def _places(self, out: Float[Tensor, "n o h w"]) -> Float[Tensor, "e h w"]:
        """Return the pixels' places in units of `reach`, as the first two numbers of an embedding."""
        y, x = (pixel_centres(n, out) / self.reach for n in out.shape[-2:])
        place = out.new_zeros(out.shape[1] - 1, *out.shape[-2:])
        place[0], place[1] = x, y[:, None]
        return place

    def _distance(
        self, embedding: Float[Tensor, "n e h w"], log_scope: Float[Tensor, "n h w"]
    ) -> Float[Tensor, "n h w"]:
        """Return half the squared distance of each pixel's embedding to that of the next seed."""
        # 1. the seed is the embedding of the pixel in the middle of the scope; its choice has no gradient
        scope = log_scope.exp()
        pixel = _middle(scope.detach())  # n
        seed = embedding.flatten(2).take_along_dim(pixel[:, None, None], 2)[..., None]  # n e 1 1
        # 2. mean shift: replace it by the mean of the embeddings near it, weighted by what the scope holds
        for _ in range(self.shifts):
            weight = scope * torch.exp(-0.5 * (embedding - seed).square().sum(1))  # n h w
            mass = weight.sum((-2, -1))[:, None] + 1e-6  # n 1
            # the same 1e-6 on both sides: with an empty scope the seed stays where it is
            mean = (embedding * weight[:, None]).sum((-2, -1)) + 1e-6 * seed[..., 0, 0]  # n e
            seed = (mean / mass)[..., None, None]
        # 3. the distance of every pixel to it
        return 0.5 * (embedding - seed).square().sum(1)


def _middle(scope: Float[Tensor, "n h w"]) -> Int[Tensor, "n"]:
    """Return the index, row by row, of the pixel in whose 5 x 5 neighbourhood the scope is largest."""
    return avg_pool2d(scope[:, None], 5, stride=1, padding=2).flatten(1).argmax(1)
