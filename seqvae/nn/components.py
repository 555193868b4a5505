"""What stands in one slot of a MONet: a code of what its mask shows, and colours and mask from the code."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from seqvae.layout import Field, StateLayout
from seqvae.nn.glimpse import pixel_centres, read, write
from seqvae.nn.images import BroadcastDecoder, ConvEncoder
from seqvae.nn.mlp import mlp
from seqvae.types import UserError

VIEW = 1.5  # half-extent of the glimpse of an object, in sizes
OUTSIDE = -8.0  # logit of an object's mask outside its glimpse
STD_FLOOR = 1e-3  # of codes around 1, and of lengths in half-widths


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
