"""Collages: objects cut out where nothing is near them, and pasted close together, in places that are known.

Where objects are close, a box that maximises the likelihood of a frame is drawn towards the neighbour's
pixels. An object that stands alone shows its place exactly: the centre of mass of what differs from the
background. So frames composed of such objects teach the encoder the places of close ones, and how sure it
can be of them.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.elbo import observed_frames
from seqvae.errors import UserError
from seqvae.layout import require_fields
from seqvae.matching import assign, reorder, squared_distances
from seqvae.nn.glimpse import pixel_centres
from seqvae.objectives import Objective
from seqvae.sequence import SequenceModel, blank_missing
from seqvae.share import gather_rows, own_rows, rand_like, randn_like, rows_of_batch
from seqvae.tree import map_record
from seqvae.types import Encoding, FrameModel, Terms, Trace

ROUNDS = 2  # of centring a cutting on its own mass
FAINT = 1e-6  # mass of an empty cutting; in the choice of cuttings the weight of those that are not alone


@register(Objective)
class CollageLikelihood(Objective):
    """log q(position, size | collage), a regression of the encoder onto frames that are composed for it.

    The frames of a batch are taken apart and put together again. An object is cut out if no other one is
    near; its position is the centre of mass of what differs from the background, and its size is what the
    encoder of the beginning of the stage says of it there. As many cuttings as the model has slots are pasted
    on the background, near the places that the objects have in some frame. They move by whole pixels, so that
    their pixels and positions stay exact. Later ones hide earlier ones. The background is the median of the
    batch's frames.

    All objects of the model have to be present and wholly inside of the image in most frames, in front of one
    background.

    reach: radius of a cutting in half-extents of its box, 1 for a disc that fills its box
    margin: as far, in their own half-extents, others have to keep from the cutting
    jitter: std of the displacement from the places in the frames, half-widths
    together: whether all objects of a collage come from one frame in which each is alone, so that no two look
        alike which never do in the data; which hides which is random

    Raises:
        UserError: `reach` or `margin` is below 1, or `jitter` below 0.
    """

    gathers_rows = True

    def __init__(self, reach: float = 1.6, margin: float = 1.2, jitter: float = 0.03, together: bool = False):
        for name, value, least in (("reach", reach, 1), ("margin", margin, 1), ("jitter", jitter, 0)):
            if not value >= least:
                raise UserError(f"objective.{name}={value}: expected a number from {least}")
        self.reach, self.margin, self.jitter, self.together = reach, margin, jitter, together
        self.teacher: FrameModel | None = None

    def begin(self, model: SequenceModel) -> None:
        """Keep the encoder as it is now: sizes have no other anchor, and would follow their own changes."""
        self.teacher = deepcopy(model.frame).requires_grad_(False).eval()

    def state(self) -> dict[str, Tensor]:
        """Return the weights of the kept encoder."""
        return {} if self.teacher is None else self.teacher.state_dict()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue with the weights of `state`, after `begin`."""
        if self.teacher is not None:
            self.teacher.load_state_dict(state)

    def measure(self, model: SequenceModel, batch: Any) -> tuple[Terms, Trace]:
        """Return the term `collage`, nats per frame, and the trace of the collages, one for every frame.

        Raises:
            UserError: the model's slots have no position and size, or some stand for no object.
        """
        layout, name = model.frame.layout, "objective: CollageLikelihood"
        require_fields(layout, ("position", "size"), name, "it teaches the places of boxes")
        if model.background_slots or "presence" in layout:
            raise UserError(f"{name}: takes every slot for an object, and here some are none")
        # 1. the objects of the batch that are alone
        clips = batch.video.shape[:2]
        frames = rearrange(blank_missing(batch.video, observed_frames(batch)), "b t c h w -> (b t) c h w")

        def of_batch(x: Tensor) -> Tensor:  # from all processes that train together
            return gather_rows(x.unflatten(0, clips)).flatten(0, 1)

        with torch.no_grad():
            said = (self.teacher or model.frame).encode(frames[:, None]).mean[:, 0]  # n k e
            position, size = said[..., layout["position"]], said[..., layout["size"]]
            background = of_batch(frames).median(0).values
            cut = map_record(of_batch, self._cut_out(frames - background, position, size))
            said = of_batch(said)  # m k e
            # 2. collages of them, as many as this process has frames
            collage = self._compose(cut, said[..., layout["position"]], background, clips)
        # 3. what the encoder says of the collages, in their order
        trace = model.filter(collage.frames.unflatten(0, clips), batch.prev_actions, sample=True)
        encoding = cast(Encoding, trace.encoding).map(lambda x: x.flatten(0, 1))
        true = said.flatten(0, 1)[collage.cutting]
        true[..., layout["position"]] = collage.position
        seen, known = model.identity(encoding.mean.detach()), model.identity(encoding.precision) > 0
        order = assign(squared_distances(model.identity(true), seen, known))
        encoding = encoding.map(lambda x: reorder(x, order))
        log_density = torch.zeros_like(collage.weight)
        for field, true in (("position", collage.position), ("size", collage.size)):
            mean, precision = encoding.mean[..., layout[field]], encoding.precision[..., layout[field]]
            log_density = log_density + gaussian_log_density(true, mean, precision.rsqrt()).sum(-1)
        term = (collage.weight * log_density).sum(-1).unflatten(0, clips)
        return Terms({"collage": term}, {"collage": 1.0}), trace

    def _cut_out(
        self,
        difference: Float[Tensor, "n c h w"],
        position: Float[Tensor, "n k 2"],
        size: Float[Tensor, "n k 2"],
    ) -> _Cuttings:
        """Return every object with a disc of the difference from the background around it.

        Only those that are alone have a weight.
        """
        height, width = difference.shape[-2:]
        x, y = pixel_centres(width, difference), pixel_centres(height, difference)
        light, radius = difference.abs().sum(1)[:, None], size.amax(-1)  # n 1 h w, n k
        # 1. centred on its own mass
        for _ in range(ROUNDS):
            disc = _inside(x, y, position, self.reach * radius)  # n k h w
            mass = light * disc
            total = mass.sum((-2, -1)).clamp_min(FAINT)
            centre = torch.stack([(mass.sum(-2) * x).sum(-1), (mass.sum(-1) * y).sum(-1)], -1)
            position = centre / total[..., None]
        # 2. alone: far from all others, and inside of the image up to half a pixel
        apart = squared_distances(position, position).sqrt()
        needed = self.reach * radius[:, :, None] + self.margin * radius[:, None]
        same = torch.eye(radius.shape[1], device=radius.device, dtype=torch.bool)
        alone = ((apart > needed) | same).all(-1)
        inside = (position.abs() + size).amax(-1) < 1 + 1 / min(height, width)
        weight = (alone & inside & (total > FAINT)).to(light.dtype)
        return _Cuttings(difference, disc, position, size, weight)

    def _compose(
        self,
        cut: _Cuttings,
        places: Float[Tensor, "m k 2"],
        background: Float[Tensor, "c h w"],
        clips: tuple[int, int],
    ) -> _Collage:
        """Paste cuttings near the places of the objects of other frames, for n frames: clips "b t"."""
        (m, k), (height, width), (b, t) = cut.weight.shape, background.shape[-2:], clips
        n, rows = b * t, rows_of_batch(b)
        # 1. cuttings that are alone, and the places of some frame for each collage: n k, as numbers in m * k
        if self.together:
            frame = torch.multinomial(cut.weight.prod(1) + FAINT, m, replacement=True)
            frame = own_rows(frame.view(rows, t)).flatten()
            order = rand_like(cut.weight.new_empty(b, t * k)).view(n, k).argsort(1)
            chosen = (k * frame[:, None] + order).flatten()
        else:
            chosen = torch.multinomial(cut.weight.flatten() + FAINT, m * k, replacement=True)
            chosen = own_rows(chosen.view(rows, t * k)).flatten()
        frame, slot = chosen // k, chosen % k
        like = own_rows(torch.randint(m, (m,), device=places.device).view(rows, t)).flatten()
        at = places[like].view(b, t * k, 2)
        at = (at + self.jitter * randn_like(at)).flatten(0, 1)
        # 2. moved by whole pixels
        pixel = torch.cat([at.new_full((1,), 2 / size) for size in (width, height)])
        position = cut.position[frame, slot]
        steps = ((at - position) / pixel).round()
        disc = cut.disc[frame, slot]
        piece = cut.difference[frame] * disc[:, None]
        strength = piece.abs().sum(1)
        alpha = strength / strength.amax((-2, -1), keepdim=True).clamp_min(FAINT)
        moved = _shift(torch.cat([piece, alpha[:, None]], 1), steps.long()).unflatten(0, (n, k))
        # 3. one over the other: a pixel of an object is alpha colour + (1 - alpha) background
        canvas = background.expand(n, -1, -1, -1)
        for layer in moved.unbind(1):
            piece, alpha = layer[:, :-1], layer[:, -1:]
            canvas = torch.lerp(canvas, background, alpha) + piece
        size, weight = cut.size[frame, slot], cut.weight[frame, slot]
        position, size, weight = (x.unflatten(0, (n, k)) for x in (position + steps * pixel, size, weight))
        return _Collage(canvas.clamp(0, 1), position, size, weight, chosen.unflatten(0, (n, k)))


@dataclass(frozen=True)
class _Cuttings:
    """The objects of frames. weight: 1 for those that are alone."""

    difference: Float[Tensor, "m c h w"]
    disc: Float[Tensor, "m k h w"]
    position: Float[Tensor, "m k 2"]
    size: Float[Tensor, "m k 2"]
    weight: Float[Tensor, "m k"]


@dataclass(frozen=True)
class _Collage:
    """Composed frames, with the true position and size of each object.

    weight: 0 if it was not alone
    cutting: of which cutting each one is, as a number in n * k
    """

    frames: Float[Tensor, "n c h w"]
    position: Float[Tensor, "n k 2"]
    size: Float[Tensor, "n k 2"]
    weight: Float[Tensor, "n k"]
    cutting: Int[Tensor, "n k"]


def _inside(
    x: Float[Tensor, "w"], y: Float[Tensor, "h"], centre: Float[Tensor, "n k 2"], radius: Float[Tensor, "n k"]
) -> Float[Tensor, "n k h w"]:
    """Return 1 where a pixel lies within `radius` of the centre."""
    across = (x - centre[..., 0:1]).square()
    down = (y - centre[..., 1:2]).square()
    squared = across[..., None, :] + down[..., :, None]
    return (squared < radius.square()[..., None, None]).to(squared.dtype)


def _shift(image: Float[Tensor, "n c h w"], steps: Int[Tensor, "n 2"]) -> Float[Tensor, "n c h w"]:
    """Move each image by whole pixels to the right and down; what enters is 0."""
    for axis, step in ((-1, steps[:, 0]), (-2, steps[:, 1])):
        size = image.shape[axis]
        source = torch.arange(size, device=image.device) - step[:, None]  # n, pixels along the axis
        shape = [-1, 1, 1, 1]
        shape[axis] = size
        inside = (source >= 0) & (source < size)
        index = source.clamp(0, size - 1).view(shape).expand_as(image)
        image = image.gather(axis, index) * inside.view(shape)
    return image
