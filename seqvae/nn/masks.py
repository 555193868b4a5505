"""Attention masks, and the components that draw what a mask holds."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, logsigmoid, pad, softplus

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.nn.glimpse import pixel_centres, read, write
from seqvae.nn.images import BroadcastDecoder, ConvEncoder
from seqvae.nn.kinds import Attention, Component
from seqvae.nn.layers import full_precision, mlp
from seqvae.nn.unet import UNet

# Soft segmentation by stick-breaking: log masks of a background and K objects that sum to one at a pixel.
#
# Each object takes a share of what the ones before it have left (the scope), log m_k = log scope + log alpha.
# Slot 0 is the background.

NEAREST = 1e-4  # half a squared distance to a seed, below which none is: log(1 - alpha) stays finite


@register(Attention)
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


@register(Attention)
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


# What stands in one slot of a MONet: a code of what its mask shows, and colours and mask from the code.

VIEW = 1.5  # half-extent of the glimpse of an object, in sizes
OUTSIDE = -8.0  # logit of an object's mask outside its glimpse
STD_FLOOR = 1e-3  # of codes around 1, and of lengths in half-widths


@register(Component)
class WholeComponent(nn.Module):
    """MONet's component VAE (Burgess et al. 2019, arXiv 1901.11390): one code, anything anywhere.

    Convolutions read (x, log m); a spatial broadcast decoder draws colours and the logit of the mask.

    Raises:
        UserError: a velocity is asked for.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        velocity: bool,
        code: int = 16,
        features: int = 32,
        layers: int = 3,
        stride: int = 1,
    ):
        super().__init__()
        if velocity:
            raise UserError(
                "model.frame.velocity=true: WholeComponent has no place, so nothing has a velocity; use "
                "PlacedComponent, or give false"
            )
        self.layout = StateLayout((Field("appearance", code, "product"),))
        self.encoder = ConvEncoder(height, width, channels + 1, 2 * code)
        self.decoder = BroadcastDecoder(height, width, channels + 1, code, features, layers, stride)

    def encode(
        self, image: Float[Tensor, "n c h w"], log_masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k e"], Float[Tensor, "n k e"]]:
        """Mean and precision of z."""
        n, k = log_masks.shape[:2]
        again = image[:, None].expand(-1, k, -1, -1, -1)
        seen = torch.cat([again, log_masks.clamp_min(-10)[:, :, None]], 2)
        out = self.encoder(seen.flatten(0, 1)).unflatten(0, (n, k)).to(image.dtype)
        mean, raw_std = out.chunk(2, -1)
        std = STD_FLOOR + softplus(raw_std - 2)  # starts near 0.1: a code that is heard
        return mean, std.pow(-2)

    def decode(
        self, z: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n k c #h #w"], Float[Tensor, "n k h w"]]:
        """Mean colours, and logits of the masks."""
        out = self.decoder(z[..., self.layout["appearance"]].flatten(0, 1)).to(z.dtype)
        out = out.unflatten(0, z.shape[:2])
        return out[:, :, :-1].sigmoid(), out[:, :, -1]


@register(Component)
class PlacedComponent(nn.Module):
    """An object with a place, a size, one colour and a shape; the background one colour everywhere.

    Place and size are centre and spread of the mask; the less of it there is, the less they are known. A
    network reads a glimpse of (x, m) there, and one draws the logits of a glimpse of the mask, pasted at
    place and size: what is learned of a shape holds wherever it is. So little fits into a slot that two
    objects do not.

    z: size, position (half-widths), velocity if wanted, appearance. extent: the smallest and largest
    size. glimpse: its samples along an edge. hidden: width of the networks.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        velocity: bool,
        code: int = 8,
        extent: tuple[float, float] = (0.05, 1.5),
        glimpse: int = 16,
        hidden: int = 64,
    ):
        super().__init__()
        self.height, self.width = height, width
        self.extent, self.glimpse = tuple(extent), glimpse
        moving = (Field("velocity", 2, "product", difference_of="position"),) if velocity else ()
        self.layout = StateLayout(
            (
                Field("size", 2, "evidence"),
                Field("position", 2, "product"),
                *moving,
                Field("appearance", code, "product"),
            )
        )
        self.look = mlp((channels + 1) * glimpse**2, hidden, hidden, 2 * code + 4, activation=nn.ReLU)
        self.colour = mlp(code, hidden, channels, activation=nn.ReLU)
        self.shape = mlp(code, hidden, hidden, glimpse**2, activation=nn.ReLU)
        with torch.no_grad():  # a shape starts as a blob in the middle of its glimpse
            axis = pixel_centres(glimpse, self.shape[-1].bias)
            self.shape[-1].bias.add_((3 - 6 * (axis.square() + axis.square()[:, None])).flatten())

    def encode(
        self, image: Float[Tensor, "n c h w"], log_masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k e"], Float[Tensor, "n k e"]]:
        """Mean and precision of z; that of the velocity, of which one frame says nothing, is 0."""
        masks = log_masks.exp()
        size, position, mass = self.moments(masks)
        joined = torch.cat([image[:, None] * masks[:, :, None], masks[:, :, None]], 2)  # n k c h w
        n, k = masks.shape[:2]
        where, extent = (x.detach().flatten(0, 1)[:, None] for x in (position, VIEW * size))
        seen = read(joined.flatten(0, 1), where, extent, self.glimpse)
        out = self.look(seen.flatten(1)).unflatten(0, (n, k)).to(image.dtype)
        code, raw_std, raw_where = out.split([*2 * [self.layout.field("appearance").size], 4], -1)
        where_std = STD_FLOOR + 0.05 * softplus(raw_where - 1)  # starts near a quarter of a pixel of 32
        size_std, position_std = (where_std * (1 + 1 / mass[..., None]).sqrt()).chunk(2, -1)
        code_std = STD_FLOOR + softplus(raw_std - 2)
        nothing = [torch.zeros_like(position)] if "velocity" in self.layout else []
        mean = torch.cat([size, position, *nothing, code], -1)
        known = (size_std.pow(-2), position_std.pow(-2), *nothing, code_std.pow(-2))
        return mean, torch.cat(known, -1)

    def moments(
        self, masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
        """Size (two standard deviations: the radius of a disc), centre (x, y) and pixels of masks."""
        y, x = (pixel_centres(size, masks) for size in masks.shape[-2:])
        mass = masks.sum((-2, -1)) + 1e-3
        found = []
        for axis, weight in ((x, masks.sum(-2)), (y, masks.sum(-1))):
            centre = (weight * axis).sum(-1) / mass
            spread = (weight * (axis - centre[..., None]).square()).sum(-1) / mass
            found.append((2 * (spread + 1e-4).sqrt(), centre))
        (sx, cx), (sy, cy) = found
        return torch.stack([sx, sy], -1).clamp(*self.extent), torch.stack([cx, cy], -1), mass

    def decode(
        self, z: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n k c #h #w"], Float[Tensor, "n k h w"]]:
        """Mean colours, and logits of the masks; those of the background, slot 0, are 0."""
        code = z[..., self.layout["appearance"]]
        size, position = z[..., self.layout["size"]].clamp(*self.extent), z[..., self.layout["position"]]
        colours = self.colour(code).to(z.dtype).sigmoid()[..., None, None]
        return colours, self._logits(code[:, 1:], size[:, 1:], position[:, 1:])

    def _logits(self, code: Tensor, size: Tensor, position: Tensor) -> Float[Tensor, "n k h w"]:
        """0 for the background, then each object's."""
        shape = self.shape(code).to(size.dtype).unflatten(-1, (1, self.glimpse, self.glimpse))
        extent = VIEW * size
        drawn = write(shape - OUTSIDE, position, extent, self.height, self.width)[:, :, 0] + OUTSIDE
        return pad(drawn, (0, 0, 0, 0, 1, 0))
