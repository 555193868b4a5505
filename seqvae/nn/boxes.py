"""Networks that find objects as boxes, and networks that tell how many of the boxes hold an object.

A box is (s_x, s_y, x, y): half-extents and centre, in half-widths and half-heights of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.config import register
from seqvae.nn.glimpse import box_cover, pixel_centres, read, sample_points
from seqvae.nn.kinds import BoxEncoder, Counter
from seqvae.nn.layers import full_precision, mlp, output_layer, positive_std
from seqvae.nn.native import call_in_parts, usable

SOURCE = Path(__file__).with_name("boxes.c")  # proposals and views of PursuitEncoder, on the CPU

# Encoders from an image to K boxes, with one std per number.

STD_FLOOR = 1e-3  # half-widths, 0.016 pixels at 32 x 32: without a floor the likelihood overflows


@register(BoxEncoder)
class LSTMEncoder(nn.Module):
    """The encoder of SuPAIR and STOVE (Kossen et al. 2020, arXiv 1910.02425, appendix).

    The flattened image is the input of each of K steps of an LSTM; a small sigmoid layer turns each output
    into a box.

    extent: smallest and largest s_x
    aspect: smallest and largest s_y / s_x
    reach: largest |x| and |y|
    max_std: largest std, above its floor
    hidden: size of the LSTM
    bottleneck: width of the sigmoid layer
    xavier: start the layers after the LSTM as published, with Xavier-uniform weights and biases of 0.1
    """

    def __init__(
        self,
        height: int,
        width: int,
        slots: int,
        extent: tuple[float, float] = (0.1, 0.8),
        aspect: tuple[float, float] = (0.75, 1.25),
        reach: float = 0.9,
        max_std: float = 0.3,
        hidden: int = 256,
        bottleneck: int = 50,
        xavier: bool = False,
    ):
        super().__init__()
        self.slots, self.extent, self.aspect, self.reach, self.max_std = slots, extent, aspect, reach, max_std
        self.lstm = nn.LSTM(height * width, hidden, batch_first=True)
        layers = nn.Linear(hidden, bottleneck), nn.Linear(bottleneck, 8)
        self.out = nn.Sequential(layers[0], nn.Sigmoid(), layers[1])
        for layer in layers if xavier else ():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)

    def forward(
        self, image: Float[Tensor, "n h w"], background: Tensor
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Return mean and std of the boxes."""
        repeated = image.flatten(1)[:, None].expand(-1, self.slots, -1)  # n k (h w)
        share = self.out(self.lstm(repeated)[0]).to(image.dtype).sigmoid()  # n k 8, of the largest values
        sx = self.extent[0] + (self.extent[1] - self.extent[0]) * share[..., 0:1]
        sy = sx * (self.aspect[0] + (self.aspect[1] - self.aspect[0]) * share[..., 1:2])
        position = self.reach * (2 * share[..., 2:4] - 1)
        return torch.cat([sx, sy, position], -1), STD_FLOOR + self.max_std * share[..., 4:8]


@register(BoxEncoder)
class PursuitEncoder(nn.Module):
    """Boxes by pursuit of the residual |x - background|, refined by a learned network.

    Proposal, without learned parts or gradient: K times, take the place where the residual, smoothed to the
    size of an object, is largest; centre it on the local mass; blank it out. Refinement, by one network for
    all slots and places, so equivariant to translation: `rounds` times, look at a glimpse of the residual
    around the proposal and at what the other slots explain of it, and regress the box and its stds.

    extent: smallest and largest half-extent
    scale: half-extent of a typical object; by default the geometric mean of `extent`
    view: half-extent of the glimpses, in scales
    glimpse: edge of the glimpses, samples
    hidden: width of the network
    rounds: number of refinements, at least 1
    max_std: largest std, above its floor
    initial_std: std before training
    """

    views = 2  # images in a glimpse: the residual, and what the other slots explain of it

    def __init__(
        self,
        height: int,
        width: int,
        slots: int,
        extent: tuple[float, float] = (0.1, 0.8),
        scale: float | None = None,
        view: float = 1.6,
        glimpse: int = 12,
        hidden: int = 64,
        rounds: int = 2,
        max_std: float = 0.3,
        initial_std: float = 0.03,
    ):
        super().__init__()
        self.slots, self.extent, self.rounds = slots, tuple(extent), rounds
        self.scale = float(scale or (extent[0] * extent[1]) ** 0.5)
        self.view, self.glimpse, self.max_std = view, glimpse, max_std
        self.refine = mlp(self.views * glimpse**2, hidden, hidden, 8, zero_last=True)
        with torch.no_grad():  # the last weights are 0: before training every box has these numbers
            bias = output_layer(self.refine).bias
            bias[0:2] = _logit((self.scale - extent[0]) / (extent[1] - extent[0]))
            bias[4:8] = _logit(initial_std / max_std)

    def forward(
        self, image: Float[Tensor, "n h w"], background: Float[Tensor, "h w"]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Return mean and std of the boxes."""
        with torch.no_grad(), full_precision(image.device):
            residual = (image - background).abs()
            position = self.propose(residual)
        return self._boxes(position, partial(self.look, residual))

    def _boxes(
        self, position: Float[Tensor, "n k 2"], look: Callable[[Tensor], Float[Tensor, "n k f"]]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Return mean and std of the boxes, refined from places.

        look: from places to the glimpses around them
        """
        position, out = self._refined(position, look)
        for _ in range(self.rounds - 1):
            position, out = self._refined(position, look)
        size = self.extent[0] + (self.extent[1] - self.extent[0]) * out[..., 0:2].sigmoid()
        return torch.cat([size, position], -1), STD_FLOOR + self.max_std * out[..., 4:8].sigmoid()

    def _refined(
        self, position: Float[Tensor, "n k 2"], look: Callable[[Tensor], Float[Tensor, "n k f"]]
    ) -> tuple[Float[Tensor, "n k 2"], Float[Tensor, "n k 8"]]:
        """Return the places after one round, and the network's output."""
        position = position.detach()  # each round learns its own step alone
        with torch.no_grad(), full_precision(position.device):
            glimpses = look(position)
        out = self.refine(glimpses).to(position.dtype)
        return position + self.scale * torch.tanh(out[..., 2:4]), out

    def propose(self, residual: Float[Tensor, "n h w"]) -> Float[Tensor, "n k 2"]:
        """Return K places of large residual by greedy pursuit."""
        n, h, w = residual.shape
        if usable(SOURCE, residual) and not residual.requires_grad:
            found, given = residual.new_empty(n, self.slots, 2), residual.contiguous()
            call_in_parts(
                SOURCE,
                "propose_places",
                n,
                lambda part: (len(found[part]), self.slots, h, w, self.scale, given[part], found[part]),
                least=32,
            )
            return found
        x, y = self._axes(residual)
        blur = self._blur(x, y)
        places = []
        for _ in range(self.slots):
            place = self._peak(residual, x, y, blur)
            # mean shift, for accuracy below a pixel
            for _ in range(3):
                place = self._centre(residual, place, x, y)
            places.append(place)
            # blank the object out
            disc = self._disc(x - place[:, 0:1], y - place[:, 1:2])  # n h w
            residual = residual.addcmul(residual, disc, value=-1)
        return torch.stack(places, 1)

    def _axes(self, residual: Float[Tensor, "n h w"]) -> tuple[Float[Tensor, "w"], Float[Tensor, "h"]]:
        """Return the coordinates of the columns and of the rows."""
        return pixel_centres(residual.shape[2], residual), pixel_centres(residual.shape[1], residual)

    def _blur(
        self, x: Float[Tensor, "w"], y: Float[Tensor, "h"]
    ) -> tuple[Float[Tensor, "w w"], Float[Tensor, "h h"]]:
        """Return the matrices that smooth an image to the size of an object, across and down."""
        return self._window(x[:, None] - x), self._window(y[:, None] - y)

    def _peak(
        self,
        residual: Float[Tensor, "n h w"],
        x: Float[Tensor, "w"],
        y: Float[Tensor, "h"],
        blur: tuple[Float[Tensor, "w w"], Float[Tensor, "h h"]],
    ) -> Float[Tensor, "n 2"]:
        """Return the pixel where the smoothed residual is largest."""
        smooth = blur[1] @ (residual @ blur[0])  # n h w
        # its row first, which is quicker than argmax over all
        row = smooth.amax(-1).argmax(-1, keepdim=True)
        column = smooth.take_along_dim(row[..., None], 1)[:, 0].argmax(-1, keepdim=True)
        return torch.cat([x[column], y[row]], -1)

    def look(
        self, residual: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k f"]:
        """Return two glimpses per slot: of the residual, and of what the other slots explain of it."""
        g = self.glimpse
        if usable(SOURCE, residual, position) and not (residual.requires_grad or position.requires_grad):
            seen = residual.new_empty(*position.shape[:2], 2 * g**2)
            sizes = (position.shape[1], *residual.shape[1:], g, self.scale, float(self.view))
            given = residual.contiguous(), position.contiguous()
            call_in_parts(
                SOURCE,
                "look_at",
                len(seen),
                lambda part: (len(seen[part]), *sizes, *(x[part] for x in given), seen[part]),
                least=128,
            )
            return seen
        extent = torch.full_like(position, self.view * self.scale)
        glimpse = read(residual[:, None], position, extent, self.glimpse)[:, :, 0]  # n k g g
        return torch.stack([glimpse, self._others(position, extent)], 2).flatten(2)

    def _others(
        self, position: Float[Tensor, "n k 2"], extent: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k g g"]:
        """Return the discs of the others at the samples of a slot's glimpse; its own is infinitely far."""
        at = sample_points(position, extent, self.glimpse)  # n k 2 g
        dx = at[:, :, None, 0] - position[:, None, :, 0, None]  # n k j g: from slot j
        dy = at[:, :, None, 1] - position[:, None, :, 1, None]
        same = torch.eye(self.slots, device=position.device, dtype=torch.bool)[:, :, None]
        return self._disc(dx.masked_fill(same, torch.inf), dy).sum(2)

    def _window(self, distance: Tensor) -> Tensor:
        """Return the weight of the residual at a distance from an object's centre, along one axis."""
        return torch.exp(-0.5 * (distance / (0.6 * self.scale)).square())

    def _centre(self, residual: Tensor, place: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the residual's centre of mass under a window at `place`: one step of mean shift."""
        wx, wy = self._window(x - place[:, 0:1]), self._window(y - place[:, 1:2])  # n w, n h
        columns = torch.stack([wy, wy * y], 1) @ residual * wx[:, None]  # n 2 w: mass, and mass times y
        mass, moment_y = columns.sum(-1, keepdim=True).unbind(1)
        moment_x = columns[:, 0] @ x[:, None]
        mass = mass + 1e-6
        shifted = torch.cat([moment_x, moment_y], -1) / mass
        return torch.where(mass > 1e-3, shifted, place)  # where nothing is left, stay

    def _disc(self, dx: Float[Tensor, "*b w"], dy: Float[Tensor, "*b h"]) -> Float[Tensor, "*b h w"]:
        """Return a soft disc: 1 inside of an object, 1/2 at a distance of `scale`, 0 beyond."""
        height = 1.5 - (dx / self.scale).square()
        return (height[..., None, :] - (dy / self.scale).square()[..., :, None]).clamp_(0, 1)


def _logit(p: float) -> float:
    return torch.logit(torch.tensor(p)).item()


def encode_boxes(
    encoder: BoxEncoder,
    look: nn.Module,
    image: Float[Tensor, "n c h w"],
    shown: Float[Tensor, "n h w"],
    background: Float[Tensor, "h w"],
    glimpse: int,
) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"], Float[Tensor, "n k a"], Float[Tensor, "n k a"]]:
    """Return mean and std of boxes, then mean and std of a code of the image in each box.

    The code is read at the encoder's box, not at a sampled one, and its gradient does not reach the box.

    look: network from a flattened glimpse to the code's mean and unbounded std
    shown: grey image in which the encoder finds boxes
    glimpse: edge of the glimpses, samples
    """
    box, box_std = encoder(shown, background)
    size, position = box[..., :2].detach(), box[..., 2:].detach()
    seen = read(image, position, size, glimpse).flatten(2)
    code, raw_std = look(seen).chunk(2, -1)
    return box, box_std, code, positive_std(raw_std - 1, STD_FLOOR)


# Counters: recurrent networks that decide, box by box, whether there is one more object.

FIRST_LOGIT = 1.0  # of presence, before training: an object that is never present is never learned


@register(Counter)
class GlimpseCounter(nn.Module):
    """An LSTM that looks at one box after the other, and at the share of it that earlier boxes cover.

    glimpse: edge of the glimpses, samples
    hidden: size of the LSTM
    margin: half-extent of the glimpses, in half-extents of the box
    """

    def __init__(
        self, height: int, width: int, slots: int, glimpse: int = 16, hidden: int = 64, margin: float = 1.3
    ):
        super().__init__()
        self.pixel, self.glimpse, self.margin = 2 / min(height, width), glimpse, margin
        self.attend = nn.LSTM(2 * glimpse**2, hidden, batch_first=True)
        self.more = nn.Linear(hidden, 1)
        nn.init.constant_(self.more.bias, FIRST_LOGIT)

    def forward(
        self, light: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k"]:
        """Return the logit of each slot's presence, given that all slots before it are present."""
        extent = self.margin * size
        glimpse = read(light[:, None], position, extent, self.glimpse)[:, :, 0]  # n k g g
        glimpses = torch.stack([glimpse, self._covered(position, size, extent)], 2)
        return self.more(self.attend(glimpses.flatten(2))[0])[..., 0].to(light.dtype)

    def _covered(
        self, position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"], extent: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k i j"]:
        """Return the share of each sample of a slot's glimpse that the boxes of earlier slots cover."""
        at = sample_points(position, extent, self.glimpse)  # n k 2 g
        cover = box_cover(at[:, :, None], position[:, None], size[:, None], self.pixel)  # n k slot 2 g
        earlier = torch.ones_like(cover[0, :, :, 0, 0]).tril(-1)  # k slot
        across, down = earlier[:, :, None] * cover[..., 0, :], cover[..., 1, :]  # n k slot g
        return (down.transpose(-1, -2) @ across).clamp(max=1)  # summed over slots


@register(Counter)
class ImageCounter(nn.Module):
    """An LSTM that sees the whole image at every slot, as in Eslami et al. 2016 (arXiv 1603.08575).

    Unlike theirs, it does not see the appearance of earlier slots, only that they are present.

    hidden: size of the LSTM
    """

    def __init__(self, height: int, width: int, slots: int, hidden: int = 256):
        super().__init__()
        self.attend = nn.LSTM(height * width, hidden, batch_first=True)
        self.more = nn.Linear(hidden, 1)
        nn.init.constant_(self.more.bias, FIRST_LOGIT)

    def forward(
        self, light: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k"]:
        """Return the logit of each slot's presence, given that all slots before it are present."""
        repeated = light.flatten(1)[:, None].expand(-1, position.shape[1], -1)  # n k (h w)
        return self.more(self.attend(repeated)[0])[..., 0].to(light.dtype)
