"""Networks for one slot of a mixture of masks: a code of the pixels under a mask, and back.

`encode` maps an image and log masks to a Gaussian over the slots' numbers, `decode` those numbers to mean
colours and logits of masks. Slot 0 is the background.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.layout import VELOCITY, Field, StateLayout
from seqvae.nn.glimpse import pixel_centres, read, write
from seqvae.nn.images import BroadcastDecoder, ConvEncoder
from seqvae.nn.kinds import Component
from seqvae.nn.layers import mlp, output_layer, positive_std

VIEW = 1.5  # half-extent of an object's glimpse, in sizes of the object
OUTSIDE = -8.0  # logit of an object's mask outside its glimpse
STD_FLOOR = 1e-3  # of codes, whose prior has a std around 1, and of places in half-widths


@register(Component)
class WholeComponent(nn.Module):
    """MONet's component VAE (Burgess et al. 2019, arXiv 1901.11390): one code for anything anywhere.

    Convolutions read (x, log m); a spatial broadcast decoder draws colours and the logit of the mask.

    code: size of the code
    features, layers, stride: of the decoder (BroadcastDecoder)

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
        """Return mean and precision of z."""
        n, k = log_masks.shape[:2]
        images = image[:, None].expand(-1, k, -1, -1, -1)
        masked = torch.cat([images, log_masks.clamp_min(-10)[:, :, None]], 2)  # n k c+1 h w
        out = self.encoder(masked.flatten(0, 1)).unflatten(0, (n, k)).to(image.dtype)
        mean, raw_std = out.chunk(2, -1)
        # starts near 0.1, so that the decoder does not learn to ignore the code
        return mean, positive_std(raw_std - 2, STD_FLOOR).pow(-2)

    def decode(
        self, z: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n k c #h #w"], Float[Tensor, "n k h w"]]:
        """Return mean colours and logits of the masks."""
        out = self.decoder(z[..., self.layout["appearance"]].flatten(0, 1)).to(z.dtype)
        out = out.unflatten(0, z.shape[:2])  # n k c+1 h w
        return out[:, :, :-1].sigmoid(), out[:, :, -1]


@register(Component)
class PlacedComponent(nn.Module):
    """Objects with a place, a size, one colour and a shape; the background has one colour everywhere.

    Place and size are centre and spread of the mask, and the less certain the smaller the mask. One network
    encodes a glimpse of (x, m) at that place. Another draws a glimpse of the mask's logits, which is pasted
    at place and size, so that shapes are learned independently of where they are. The slot holds so little
    that two objects do not fit into one. Its state has size and position in half-widths, velocity if wanted,
    and appearance.

    code: size of the appearance
    extent: the smallest and the largest size, half-widths
    glimpse: edge of a glimpse, samples
    hidden: width of the networks
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
        self.layout = StateLayout(
            (
                Field("size", 2, "frame"),
                Field("position", 2, "product"),
                *((VELOCITY,) if velocity else ()),
                Field("appearance", code, "product"),
            )
        )
        self.look = mlp((channels + 1) * glimpse**2, hidden, hidden, 2 * code + 4, activation=nn.ReLU)
        self.colour = mlp(code, hidden, channels, activation=nn.ReLU)
        self.shape = mlp(code, hidden, hidden, glimpse**2, activation=nn.ReLU)
        with torch.no_grad():  # a shape starts as a blob in the middle of its glimpse
            bias = output_layer(self.shape).bias
            axis = pixel_centres(glimpse, bias)
            bias.add_((3 - 6 * (axis.square() + axis.square()[:, None])).flatten())

    def encode(
        self, image: Float[Tensor, "n c h w"], log_masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k e"], Float[Tensor, "n k e"]]:
        """Return mean and precision of z; the precision of the velocity is 0, as one frame shows none."""
        # 1. place and size from the mask
        masks = log_masks.exp()
        size, position, mass = self.moments(masks)
        # 2. appearance, and all stds, from a glimpse there; its place passes no gradient to the mask
        masked = torch.cat([image[:, None] * masks[:, :, None], masks[:, :, None]], 2)  # n k c+1 h w
        n, k = masks.shape[:2]
        centre, extent = (x.detach().flatten(0, 1)[:, None] for x in (position, VIEW * size))
        glimpses = read(masked.flatten(0, 1), centre, extent, self.glimpse)  # (n k) 1 c+1 g g
        out = self.look(glimpses.flatten(1)).unflatten(0, (n, k)).to(image.dtype)
        code, raw_std, raw_place_std = out.split([*2 * [self.layout.field("appearance").size], 4], -1)
        # 3. a mask of few pixels tells place and size less exactly
        place_std = positive_std(raw_place_std - 1, STD_FLOOR, scale=0.05)  # starts at a quarter pixel of 32
        size_std, position_std = (place_std * (1 + 1 / mass[..., None]).sqrt()).chunk(2, -1)
        code_std = positive_std(raw_std - 2, STD_FLOOR)
        # 4. numbers in the order of the layout
        nothing = [torch.zeros_like(position)] if "velocity" in self.layout else []
        mean = torch.cat([size, position, *nothing, code], -1)
        precision = (size_std.pow(-2), position_std.pow(-2), *nothing, code_std.pow(-2))
        return mean, torch.cat(precision, -1)

    def moments(
        self, masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k 2"], Float[Tensor, "n k"]]:
        """Return size, centre (x, y) and number of pixels of masks.

        The size is two standard deviations, which is the radius of a disc.
        """
        y, x = (pixel_centres(size, masks) for size in masks.shape[-2:])
        mass = masks.sum((-2, -1)) + 1e-3
        moments = []
        for axis, weight in ((x, masks.sum(-2)), (y, masks.sum(-1))):  # w, n k w; h, n k h
            centre = (weight * axis).sum(-1) / mass
            variance = (weight * (axis - centre[..., None]).square()).sum(-1) / mass
            moments.append((2 * (variance + 1e-4).sqrt(), centre))
        (sx, cx), (sy, cy) = moments
        return torch.stack([sx, sy], -1).clamp(*self.extent), torch.stack([cx, cy], -1), mass

    def decode(
        self, z: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n k c #h #w"], Float[Tensor, "n k h w"]]:
        """Return mean colours and logits of the masks; the logits of the background, slot 0, are 0."""
        code = z[..., self.layout["appearance"]]
        size, position = z[..., self.layout["size"]].clamp(*self.extent), z[..., self.layout["position"]]
        colours = self.colour(code).to(z.dtype).sigmoid()[..., None, None]
        return colours, self._logits(code[:, 1:], size[:, 1:], position[:, 1:])

    def _logits(self, code: Tensor, size: Tensor, position: Tensor) -> Float[Tensor, "n k h w"]:
        """Return logits of masks: zeros for the background in front, then those of the objects given."""
        shape = self.shape(code).to(size.dtype).unflatten(-1, (1, self.glimpse, self.glimpse))
        # `write` fills with 0 outside of a glimpse, hence the shift
        pasted = write(shape - OUTSIDE, position, VIEW * size, self.height, self.width)[:, :, 0] + OUTSIDE
        return pad(pasted, (0, 0, 0, 0, 1, 0))
