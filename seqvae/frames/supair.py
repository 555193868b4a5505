"""SuPAIR: boxes whose appearance is integrated out by sum-product networks.

Stelzner, Peharz, Kersting: Faster Attend-Infer-Repeat with Tractable Probabilistic Models, ICML 2019; in
the fixed-K form of STOVE (Kossen et al. 2020, arXiv 1910.02425).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.layout import VELOCITY, Field, StateLayout
from seqvae.nn.glimpse import box_cover, pixel_centres, read, sample_points, uncovered_share, write
from seqvae.nn.kinds import BoxEncoder
from seqvae.nn.layers import full_precision, in_full_precision
from seqvae.nn.native import call_in_parts, usable
from seqvae.nn.spn import RatSPN
from seqvae.types import Encoding, FrameModel, Scene

SOURCE = Path(__file__).with_name("supair.c")  # draws frames, on the CPU and without a gradient
AREAS = ("pixels", "image")
COLOUR_STD = 0.01  # of the encoded colour, far below what tells two objects apart


@register(FrameModel)
class SuPAIR(FrameModel):
    """An energy of grey frames given boxes: object SPNs inside the boxes, a background SPN outside.

    Colour frames are reduced to grey (the channel sum clipped to 1). Slots are ordered: a pixel of a glimpse
    that an earlier slot covers, or that lies outside the image, is marginalised in the object SPN; a pixel
    that any slot covers is marginalised in the background SPN.

    This is no normalised density over frames: glimpses overlap and resample, marginalisation is fractional,
    and each object term counts its box's area.

    encoder: makes the network that proposes K boxes
    glimpse: edge of the glimpses, samples
    overlap_rate: rate of the exponential prior on the hidden share of a glimpse
    area: unit of a box's area, "pixels", or "image" as in the paper (s_x s_y)
    object_variance, background_variance: range of the leaf variances of the SPNs
    velocity: whether the state has one
    colour: whether the state has the mean colour of each box's glimpse, by which dynamics can tell objects
        apart; no likelihood depends on it
    to_edge: as in the authors' implementation, the outermost samples of a glimpse lie on the box's edge, not
        half a sample inside
    plain_spns: as in the authors' implementation, all parameters of the SPNs start from N(0, 0.1^2) cut at
        two stds, and the parameters of a mixture are its logits; else objects start bright and the background
        dark, and the weights of a mixture learn ten times faster

    Raises:
        UserError: `area` is no known unit.
    """

    has_background = True
    unnormalised = frozenset({"objects", "background", "overlap"})
    shown = 1  # channels that the likelihood sees

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
        if area not in AREAS:
            raise UserError(f"model.frame.area={area}: expected {' or '.join(AREAS)}")
        self.height, self.width, self.channels, self.slots = height, width, channels, slots
        self.glimpse, self.overlap_rate = glimpse, overlap_rate
        self.area = height * width / glimpse**2 if area == "pixels" else 1.0
        self.layout = StateLayout((Field("size", 2, "frame"), Field("position", 2, "product")))
        if velocity:
            self.layout = self.layout.extend(VELOCITY)
        if colour:
            self.layout = self.layout.extend(Field("colour", channels, "frame"))
        self.encoder = encoder(height=height, width=width, slots=slots)
        self.size_limits = self.encoder.extent
        self.reach = glimpse / (glimpse - 1) if to_edge else 1.0  # of a glimpse, in half-extents of its box
        self.objects = RatSPN(glimpse**2, 6, 2, 10, 10, object_variance, mean=0.5, mean_std=0.03)
        self.background = RatSPN(
            self.shown * height * width, 3, 1, 6, 1, background_variance, mean=0.0, mean_std=0.05
        )
        if plain_spns:
            _make_plain(self.objects)
            _make_plain(self.background)

    def begin_background(self, image: Float[Tensor, "c h w"]) -> None:
        """Move the leaf means of the background SPN by what it sees of this image; black changes nothing."""
        with torch.no_grad():
            self.background.mean.add_(self._seen(image[None]).flatten())

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return boxes; the precision of the velocity is 0, since one frame does not show it."""
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

    def _colour(
        self, frames: Float[Tensor, "n c h w"], box: Float[Tensor, "n k 4"]
    ) -> Float[Tensor, "n k c"]:
        """Return the mean colour of the glimpse of each box."""
        with full_precision(frames.device):
            return self._read(frames, box[..., 2:], box[..., :2]).mean((-2, -1))

    def _read(
        self, image: Float[Tensor, "n c h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k c g g"]:
        return read(image, position, self._extent(size), self.glimpse)

    def _extent(self, size: Tensor) -> Tensor:
        """Return the half-extent of a box's glimpse, in which each of n samples stands for an nth."""
        return size if self.reach == 1 else self.reach * size

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return the three terms of the energy, nats per frame."""
        b, t = video.shape[:2]
        image = self._seen(video.flatten(0, 1))  # n c h w
        flat = rearrange(z, "b t k d -> (b t) k d")
        size, position = self._box(flat)
        visible = self._visible(size, position)  # n k g g
        area = self.area * size[..., 0] * size[..., 1]
        hidden = 1 - visible.mean((-2, -1))
        uncovered = self._uncovered(size, position)[:, None].expand(-1, self.shown, -1, -1)
        terms = {
            "objects": (area * self._log_object(image, flat, visible)).sum(-1),
            "background": self.background(image.flatten(1), uncovered.flatten(1)),
            "overlap": (math.log(self.overlap_rate) - self.overlap_rate * hidden).sum(-1),
        }
        return {name: term.unflatten(0, (b, t)) for name, term in terms.items()}

    def _seen(self, frames: Float[Tensor, "n c h w"]) -> Float[Tensor, "n shown h w"]:
        """Return what of the frames the likelihood sees."""
        return grey(frames[:, None])

    def _log_object(
        self,
        image: Float[Tensor, "n shown h w"],
        z: Float[Tensor, "n k d"],
        visible: Float[Tensor, "n k g g"],
    ) -> Float[Tensor, "n k"]:
        """Return the log-density of what is visible of each glimpse, nats."""
        size, position = self._box(z)
        glimpses = self._read(image, position, size)[:, :, 0]
        log_object = self.objects(glimpses.flatten(0, 1).flatten(1), visible.flatten(0, 1).flatten(1))
        return log_object.unflatten(0, visible.shape[:2])

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the expected appearance of objects and background, grey in all channels."""
        b = len(z)
        # 1. the expected glimpse, pasted at every box
        size, position = self._box(rearrange(z, "b t k d -> (b t) k d"))
        look, backdrop = self.objects.expectation(), self.background.expectation()
        if not torch.is_grad_enabled() and usable(SOURCE, size, look):
            return self._scene(self._drawn(size, position, look, backdrop), b)
        look = look.unflatten(0, (1, 1, 1, self.glimpse, self.glimpse))
        look = look.expand(*size.shape[:2], -1, -1, -1)  # n k 1 g g
        pasted = write(look, position, self._extent(size), self.height, self.width)[:, :, 0]  # n k h w
        # 2. where boxes overlap, the brightest: the corners of a box are mostly background
        rows, columns = self._cover(size, position)
        cover = rows[..., :, None] * columns[..., None, :]  # n k h w
        shown = (cover * pasted).amax(1)
        # 3. the background where no box covers half of a pixel
        backdrop = backdrop.unflatten(0, (self.height, self.width))
        return self._scene(torch.where(cover.amax(1) > 0.5, shown, backdrop).clamp(0, 1), b)

    def _drawn(
        self, size: Float[Tensor, "n k 2"], position: Float[Tensor, "n k 2"], look: Tensor, backdrop: Tensor
    ) -> Float[Tensor, "n h w"]:
        """Return the frames of `decode`, by supair.c."""
        frames = size.new_empty(len(size), self.height, self.width)
        size, position, slots = size.contiguous(), position.contiguous(), size.shape[1]
        given = (slots, self.height, self.width, self.glimpse, float(self.reach), look, backdrop)

        def arguments(part: slice) -> tuple[Any, ...]:
            return part.stop - part.start, *given, size[part], position[part], frames[part]

        call_in_parts(SOURCE, "draw", len(size), arguments, 128)
        return frames

    def _scene(self, frames: Float[Tensor, "n h w"], batch: int) -> Scene:
        """Return frames with all channels, and the axes (b t)."""
        return Scene(frames[:, None].expand(-1, self.channels, -1, -1).unflatten(0, (batch, -1)))

    def _box(self, z: Float[Tensor, "n k d"]) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k 2"]]:
        """Return size and position."""
        return z[..., self.layout["size"]].clamp(0.02, 2.0), z[..., self.layout["position"]]

    def _visible(
        self, size: Float[Tensor, "n k 2"], position: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k g g"]:
        """Return the share of each pixel of a glimpse that lies in the image and under no earlier slot."""
        (sx, sy), (px, py) = size.unbind(-1), position.unbind(-1)
        # 1. where the samples of each glimpse are, per axis: n k g
        at_x = sample_points(px, self._extent(sx), self.glimpse)
        at_y = sample_points(py, self._extent(sy), self.glimpse)
        # 2. the share of each pixel that lies in the image: n k g g
        pixel_x, pixel_y = 2 / self.width, 2 / self.height
        inside_x = (0.5 + (1 - at_x.abs()) / pixel_x).clamp(0, 1)
        inside_y = (0.5 + (1 - at_y.abs()) / pixel_y).clamp(0, 1)
        inside = inside_y[..., :, None] @ inside_x[..., None, :]
        # 3. the share that slot j covers of the samples of slot k, per axis: n k j g
        over_x = box_cover(at_x[:, :, None], px[:, None], sx[:, None], pixel_x)
        over_y = box_cover(at_y[:, :, None], py[:, None], sy[:, None], pixel_y)
        # 4. the product of what slots j < k leave uncovered: n k j g g to n k g g
        earlier = torch.ones(self.slots, self.slots, device=size.device, dtype=size.dtype).tril(-1)  # k j
        return reduce(torch.mul, uncovered_share(earlier[:, :, None] * over_y, over_x).unbind(2), inside)

    def _cover(
        self, size: Float[Tensor, "n k 2"], position: Float[Tensor, "n k 2"]
    ) -> tuple[Float[Tensor, "n k h"], Float[Tensor, "n k w"]]:
        """Return the share of each row and of each column that a box covers; of a pixel, their product."""
        (sx, sy), (px, py) = size.unbind(-1), position.unbind(-1)
        return (
            box_cover(pixel_centres(self.height, size), py, sy, 2 / self.height),
            box_cover(pixel_centres(self.width, size), px, sx, 2 / self.width),
        )

    def _uncovered(
        self, size: Float[Tensor, "n k 2"], position: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n h w"]:
        """Return the share of each pixel of the image that no slot covers."""
        return reduce(torch.mul, uncovered_share(*self._cover(size, position)).unbind(1))


def _make_plain(spn: RatSPN) -> None:
    """Draw all parameters again as the authors' implementation does; those of a mixture are its logits."""
    spn.logit_scale = 1.0
    for parameter in spn.parameters():
        nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)


def grey(video: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t h w"]:
    """Return the channel sum clipped to 1: the paper's reduction of colour frames."""
    return video.sum(2).clamp(max=1)
