"""SuPAIR: boxes whose appearance is integrated out by sum-product networks.

Stelzner, Peharz, Kersting: Faster Attend-Infer-Repeat with Tractable Probabilistic Models, ICML 2019; in
the fixed-K form of STOVE (Kossen et al. 2020, arXiv 1910.02425).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.layout import Field, StateLayout
from seqvae.nn.glimpse import box_cover, pixel_centres, read, sample_points, uncovered_share, write
from seqvae.nn.kinds import BoxEncoder
from seqvae.nn.layers import full_precision, in_full_precision
from seqvae.nn.spn import RatSPN
from seqvae.types import Encoding, FrameModel, Scene

COLOUR_STD = 0.01  # of the colour as encoding, far below what tells two objects apart


@register(FrameModel)
class SuPAIR(FrameModel):
    """An energy of grey frames given boxes: object SPNs inside the boxes, a background SPN outside.

    z holds size (s_x, s_y: half-extents) and position (x, y), all in half-widths. Colour frames are
    reduced to grey (the channel sum clipped to 1). Slots are ordered: a pixel of a glimpse that an
    earlier slot covers, or that lies outside the image, is marginalised in the object SPN; a pixel that
    any slot covers is marginalised in the background SPN.

    No normalised density over frames: glimpses overlap and resample, marginalisation is fractional, and
    each object term counts its box's area in pixels (`area`: "pixels"), or in the paper's units
    (`area`: "image", s_x s_y). overlap_rate: the rate of the exponential prior on a glimpse's hidden share.
    velocity: whether the state has one. colour: whether it has the mean colour of each box's glimpse, for
    dynamics to tell objects apart by; no likelihood depends on it.

    Two options for what the authors' implementation does. to_edge: the outermost samples of a glimpse lie on
    the box's edge, not half a sample inside. plain_spns: all parameters of the SPNs start from N(0, 0.1^2)
    cut at two stds, and the parameters of a mixture are its logits; else object and background start bright
    and dark, and a mixture's weights learn ten times faster.
    """

    unnormalised = frozenset({"objects", "background", "overlap"})

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        encoder: Callable[..., BoxEncoder],
        glimpse: int = 10,
        overlap_rate: float = 10.0,
        area: str = "pixels",
        object_variance: tuple[float, float] = (0.12, 0.35),
        background_variance: tuple[float, float] = (0.002, 0.16),
        velocity: bool = True,
        colour: bool = False,
        to_edge: bool = False,
        plain_spns: bool = False,
    ):
        super().__init__()
        self.height, self.width, self.channels, self.slots = height, width, channels, slots
        self.glimpse, self.overlap_rate = glimpse, overlap_rate
        self.area = {"pixels": height * width / glimpse**2, "image": 1.0}[area]
        self.layout = StateLayout((Field("size", 2, "frame"), Field("position", 2, "product")))
        if velocity:
            self.layout = self.layout.extend(Field("velocity", 2, "product", difference_of="position"))
        if colour:
            self.layout = self.layout.extend(Field("colour", channels, "frame"))
        self.encoder = encoder(height=height, width=width, slots=slots)
        self.size_limits = self.encoder.extent
        self.reach = glimpse / (glimpse - 1) if to_edge else 1.0  # of a glimpse, in half-extents of its box
        self.objects = RatSPN(glimpse**2, 6, 2, 10, 10, object_variance, mean=0.5, mean_std=0.03)
        self.background = RatSPN(height * width, 3, 1, 6, 1, background_variance, mean=0.0, mean_std=0.05)
        if plain_spns:
            _make_plain(self.objects)
            _make_plain(self.background)

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Box encoding; the velocity's precision is 0, since one frame says nothing of it."""
        backdrop = self.background.expectation().detach().unflatten(0, (self.height, self.width))
        mean, std = self.encoder(rearrange(grey(video), "b t h w -> (b t) h w"), backdrop)
        encoding = Encoding(mean, std.square().reciprocal())
        if "velocity" in self.layout:
            encoding = encoding.map(lambda x: pad(x, (0, 2)))
        if "colour" in self.layout:
            colour = self._colour(video.flatten(0, 1), mean.detach())
            precision = torch.full_like(colour, COLOUR_STD**-2)
            encoding = Encoding(
                torch.cat([encoding.mean, colour], -1), torch.cat([encoding.precision, precision], -1)
            )
        return encoding.map(lambda x: x.unflatten(0, video.shape[:2]))

    def _colour(self, frames: Float[Tensor, "n c h w"], box: Float[Tensor, "n k 4"]) -> Tensor:
        """The mean colour of the glimpse of each box, "n k c"."""
        with full_precision(frames.device):
            return self._read(frames, box[..., 2:], box[..., :2]).mean((-2, -1))

    def _read(self, image: Float[Tensor, "n c h w"], position: Tensor, size: Tensor) -> Tensor:
        return read(image, position, self._extent(size), self.glimpse)

    def _extent(self, size: Tensor) -> Tensor:
        """The half-extent of a box's glimpse, n samples that stand for a nth of it each."""
        return size if self.reach == 1 else self.reach * size

    @in_full_precision
    def terms(
        self, video: Float[Tensor, "b t c h w"], z: Float[Tensor, "b t k d"], encoding: Any, context: Any
    ) -> dict[str, Float[Tensor, "b t"]]:
        """The energy's three terms, nats a frame."""
        b, t = video.shape[:2]
        image = rearrange(grey(video), "b t h w -> (b t) h w")
        size, position = self._box(rearrange(z, "b t k d -> (b t) k d"))
        visible = self._visible(size, position)  # n k g g
        glimpses = self._read(image[:, None], position, size)[:, :, 0]
        log_object = self.objects(glimpses.flatten(0, 1).flatten(1), visible.flatten(0, 1).flatten(1))
        area = self.area * size[..., 0] * size[..., 1]
        hidden = 1 - visible.mean((-2, -1))
        terms = {
            "objects": (area * log_object.unflatten(0, area.shape)).sum(-1),
            "background": self.background(image.flatten(1), self._uncovered(size, position).flatten(1)),
            "overlap": (math.log(self.overlap_rate) - self.overlap_rate * hidden).sum(-1),
        }
        return {name: term.unflatten(0, (b, t)) for name, term in terms.items()}

    def decode(self, z: Float[Tensor, "b t k d"], context: Any = None) -> Scene:
        """Expected appearance of objects and background; grey, in the data's number of channels."""
        b, t = z.shape[:2]
        size, position = self._box(rearrange(z, "b t k d -> (b t) k d"))
        look = self.objects.expectation().unflatten(0, (1, 1, 1, self.glimpse, self.glimpse))
        look = look.expand(*size.shape[:2], -1, -1, -1)
        pasted = write(look, position, self._extent(size), self.height, self.width)[:, :, 0]
        rows, columns = self._cover(size, position)
        cover = rows[..., :, None] * columns[..., None, :]
        # a pixel that several boxes cover shows the brightest: the corners of a box are mostly background
        shown = (cover * pasted).amax(1)
        backdrop = self.background.expectation().unflatten(0, (self.height, self.width))
        frames = torch.where(cover.amax(1) > 0.5, shown, backdrop).clamp(0, 1)
        frames = frames[:, None].expand(-1, self.channels, -1, -1)
        return Scene(frames.unflatten(0, (b, t)))

    def _box(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[..., self.layout["size"]].clamp(0.02, 2.0), z[..., self.layout["position"]]

    def _visible(self, size: Tensor, position: Tensor) -> Float[Tensor, "n k g g"]:
        """The share of each glimpse pixel that lies in the image and under no earlier slot."""
        (sx, sy), (px, py) = size.unbind(-1), position.unbind(-1)
        at_x = sample_points(px, self._extent(sx), self.glimpse)  # n i g
        at_y = sample_points(py, self._extent(sy), self.glimpse)
        pixel_x, pixel_y = 2 / self.width, 2 / self.height
        inside_x = (0.5 + (1 - at_x.abs()) / pixel_x).clamp(0, 1)
        inside_y = (0.5 + (1 - at_y.abs()) / pixel_y).clamp(0, 1)
        inside = inside_y[..., :, None] @ inside_x[..., None, :]
        over_x = box_cover(at_x[:, :, None], px[:, None], sx[:, None], pixel_x)  # n i j g: by slot j
        over_y = box_cover(at_y[:, :, None], py[:, None], sy[:, None], pixel_y)
        earlier = torch.ones(self.slots, self.slots, device=size.device, dtype=size.dtype).tril(-1)
        return reduce(torch.mul, uncovered_share(earlier[:, :, None] * over_y, over_x).unbind(2), inside)

    def _cover(self, size: Tensor, position: Tensor) -> tuple[Float[Tensor, "n k h"], Float[Tensor, "n k w"]]:
        """The shares of the image's rows and columns that each box covers; of a pixel, their product."""
        (sx, sy), (px, py) = size.unbind(-1), position.unbind(-1)
        return (
            box_cover(pixel_centres(self.height, size), py, sy, 2 / self.height),
            box_cover(pixel_centres(self.width, size), px, sx, 2 / self.width),
        )

    def _uncovered(self, size: Tensor, position: Tensor) -> Float[Tensor, "n h w"]:
        return reduce(torch.mul, uncovered_share(*self._cover(size, position)).unbind(1))


def _make_plain(spn: RatSPN) -> None:
    spn.logit_scale = 1.0
    for parameter in spn.parameters():
        nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)


def grey(video: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t h w"]:
    """The channel sum clipped to 1: the paper's reduction of colour frames."""
    return video.sum(2).clamp(max=1)
