"""Networks that find coloured objects as boxes, each with the colour that it shows."""

from __future__ import annotations

from functools import partial

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.nn.boxes import PursuitEncoder
from seqvae.nn.glimpse import pixel_centres, read
from seqvae.nn.kinds import ColourEncoder
from seqvae.nn.layers import full_precision

LIKENESS = 0.25  # std of a pixel's distance from a colour to which it belongs; the range of a channel is 1
CORE = 0.5  # of an object, where its colour is read: std of the weight around its middle, in scales
SAMPLES = 10  # along an edge of the square in which it is read
ROUNDS = 10  # of the search for the colour that most of them have
SHOWN = 0.15  # share of an object's disc below which a box does not tell a colour
FAINT = 1e-6


def share_of_colour(
    difference: Float[Tensor, "*b c h w"], colour: Float[Tensor, "*b c"]
) -> tuple[Float[Tensor, "*b h w"], Float[Tensor, "*b h w"]]:
    """Return how much of an object's colour is in each pixel, and how well it agrees with that colour.

    A pixel of an object is background + share (colour - background). The share is the least-squares one,
    limited to [0, 1]; the likeness falls from 1 to 0 with the distance that is left.

    difference: of the image from the background
    colour: of the object, as difference from the background
    """
    square = colour.square().sum(-1).clamp_min(FAINT)[..., None, None]
    along = einsum(difference, colour, "... c h w, ... c -> ... h w")
    share = (along / square).clamp(0, 1)
    # |difference - share colour|^2 in three terms, so that no further tensor has all channels
    apart = difference.square().sum(-3) + share * (share * square - 2 * along)
    return share, torch.exp(-apart.clamp_min(0) / (2 * LIKENESS**2))


@register(ColourEncoder)
class ColourPursuit(PursuitEncoder):
    """Boxes and colours by pursuit of the residual |x - background|, refined by a learned network.

    As PursuitEncoder, but an object is what has one colour: of the pixels around the largest residual most
    have it, its centre is that of the mass of this colour, and only pixels of this colour are blanked out. So
    an object in front of another leaves what it does not hide. The network sees how much of the slot's colour
    is in each pixel, how much differs from the background at all, and the places of the other slots; so it
    does not depend on the colours.

    pool: edge of the squares of pixels that are averaged before anything is looked for
    extent, scale, view, glimpse, hidden, rounds, max_std, initial_std: see PursuitEncoder

    Raises:
        UserError: the image cannot be divided into such squares.
    """

    views = 3

    def __init__(
        self,
        height: int,
        width: int,
        slots: int,
        pool: int = 1,
        extent: tuple[float, float] = (0.1, 0.8),
        scale: float | None = None,
        view: float = 1.6,
        glimpse: int = 12,
        hidden: int = 64,
        rounds: int = 2,
        max_std: float = 0.3,
        initial_std: float = 0.03,
    ):
        if not isinstance(pool, int) or pool < 1 or height % pool or width % pool:
            raise UserError(
                f"model.frame.encoder.pool={pool}: expected a whole number from 1 that divides the "
                f"{height} rows and {width} columns of the frames"
            )
        super().__init__(
            height, width, slots, extent, scale, view, glimpse, hidden, rounds, max_std, initial_std
        )
        self.pool = pool

    def forward(
        self, image: Float[Tensor, "n c h w"], background: Float[Tensor, "c h w"]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"], Float[Tensor, "n k c"], Bool[Tensor, "n k"]]:
        """Return mean and std of the boxes, their colours, and which of them are seen well enough to tell."""
        with torch.no_grad(), full_precision(image.device):
            difference = image - background
            if self.pool > 1:
                difference = avg_pool2d(difference, self.pool)
            position, colour, shown = self.propose_coloured(difference)
        mean, std = self._boxes(position, partial(self.look_at_colour, difference, colour))
        return mean, std, colour + _colour_at(background, position), shown > SHOWN

    def propose_coloured(
        self, difference: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k c"], Float[Tensor, "n k"]]:
        """Return K places by greedy pursuit, their colours, and the share of its disc that each one shows.

        Colours are differences from the background.
        """
        residual = _residual(difference)
        x, y = self._axes(residual)
        blur = self._blur(x, y)
        free = torch.ones_like(residual)  # share of each pixel that no slot has explained
        found = []
        for _ in range(self.slots):
            # 1. the colour around the largest residual
            left = residual * free
            place = self._peak(left, x, y, blur)
            colour = self._colour_around(difference, left, place)
            # 2. the centre of what has this colour
            share, like = share_of_colour(difference, colour)
            own = share * like * free
            for _ in range(3):
                place = self._centre(own, place, x, y)
            # 3. blanked out
            disc = self._disc(x - place[:, 0:1], y - place[:, 1:2])  # n h w
            shown = (own * disc).sum((-2, -1)) / disc.sum((-2, -1)).clamp_min(FAINT)
            free = free * (1 - disc * like)
            found.append((place, colour, shown))
        places, colours, shares = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        return places, colours, shares

    def _colour_around(
        self, difference: Float[Tensor, "n c h w"], left: Float[Tensor, "n h w"], place: Float[Tensor, "n 2"]
    ) -> Float[Tensor, "n c"]:
        """Return the colour of most of the residual around a place: mean shift in the space of colours."""
        # 1. what is left in the middle of the object: n c s s, n s s
        extent = torch.full_like(place, self.scale)[:, None]
        seen = read(torch.cat([difference, left[:, None]], 1), place[:, None], extent, SAMPLES)[:, 0]
        seen, left = seen[:, :-1], seen[:, -1]
        falls = torch.exp(-0.5 * (pixel_centres(SAMPLES, left) / CORE).square())
        near = left * falls * falls[:, None]
        # 2. the mean of those that are alike
        weight = near
        for i in range(ROUNDS):
            colour = einsum(seen, weight, "n c h w, n h w -> n c")
            colour = colour / weight.sum((-2, -1)).clamp_min(FAINT)[:, None]
            if i < ROUNDS - 1:
                apart = (seen - colour[..., None, None]).square().sum(1)
                weight = near * torch.exp(-apart / (2 * LIKENESS**2))
        return colour

    def look_at_colour(
        self,
        difference: Float[Tensor, "n c h w"],
        colour: Float[Tensor, "n k c"],
        position: Float[Tensor, "n k 2"],
    ) -> Float[Tensor, "n k f"]:
        """Return three glimpses per slot: of its colour, of the residual, and of the other slots' discs."""
        extent = torch.full_like(position, self.view * self.scale)
        glimpse = read(difference, position, extent, self.glimpse)  # n k c g g
        share, like = share_of_colour(glimpse, colour)
        views = [share * like, _residual(glimpse), self._others(position, extent)]
        return torch.stack(views, 2).flatten(2)


def _residual(difference: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b h w"]:
    """Return how much a pixel differs from the background, at most 1."""
    return difference.abs().sum(-3).clamp(max=1)


def _colour_at(
    background: Float[Tensor, "c h w"], position: Float[Tensor, "n k 2"]
) -> Float[Tensor, "n k c"]:
    """Return the colour of the background at the places."""
    at = read(background.expand(len(position), -1, -1, -1), position, torch.zeros_like(position), 1)
    return at[..., 0, 0]
