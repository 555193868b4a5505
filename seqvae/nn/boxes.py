"""Encoders that find objects as boxes, and how many there are."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.config import register
from seqvae.nn.glimpse import box_cover, pixel_centres, read, sample_points
from seqvae.nn.kinds import BoxEncoder, Counter
from seqvae.nn.layers import full_precision, mlp

# Frame encoders: from an image to K boxes (half-extent, position), each number with its own std.

STD_FLOOR = 1e-3  # half-widths, 0.016 pixels at 32 x 32: without a floor the likelihood runs into overflow


@register(BoxEncoder)
class LSTMEncoder(nn.Module):
    """The encoder of SuPAIR and STOVE (Kossen et al. 2020, arXiv 1910.02425, appendix).

    The flattened image goes K times into an LSTM, whose outputs pass through a small sigmoid layer. xavier:
    the layers behind the LSTM start as published, with Xavier-uniform weights and biases of 0.1.
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
        self.out = nn.Sequential(nn.Linear(hidden, bottleneck), nn.Sigmoid(), nn.Linear(bottleneck, 8))
        for layer in (self.out[0], self.out[2]) if xavier else ():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)

    def forward(
        self, image: Float[Tensor, "n h w"], background: Tensor
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Mean and std of (s_x, s_y, x, y)."""
        repeated = image.flatten(1)[:, None].expand(-1, self.slots, -1)
        share = self.out(self.lstm(repeated)[0]).to(image.dtype).sigmoid()
        sx = self.extent[0] + (self.extent[1] - self.extent[0]) * share[..., 0:1]
        sy = sx * (self.aspect[0] + (self.aspect[1] - self.aspect[0]) * share[..., 1:2])
        position = self.reach * (2 * share[..., 2:4] - 1)
        return torch.cat([sx, sy, position], -1), STD_FLOOR + self.max_std * share[..., 4:8]


@register(BoxEncoder)
class PursuitEncoder(nn.Module):
    """Boxes by pursuit of what the background leaves unexplained, refined by a learned network.

    Proposal (nothing learned, no gradient): K times, take the place where the residual |x - background|,
    smoothed to the size of an object, is largest; centre it on the residual's local mass; blank it out.
    Refinement (learned, shared by all slots and places, so equivariant to translation): look at a
    glimpse of the residual around the proposal, with and without what the other slots explain, and
    regress the box and its stds; `rounds` times.

    scale: the half-extent of a typical object, half-widths; the middle of `extent` by default.
    """

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
        self.scale = scale or (extent[0] * extent[1]) ** 0.5
        self.view, self.glimpse, self.max_std = view, glimpse, max_std
        self.refine = mlp(2 * glimpse**2, hidden, hidden, 8, zero_last=True)
        with torch.no_grad():
            share = (self.scale - extent[0]) / (extent[1] - extent[0])
            self.refine[-1].bias[0:2] = _logit(share)
            self.refine[-1].bias[4:8] = _logit(initial_std / max_std)

    def forward(
        self, image: Float[Tensor, "n h w"], background: Float[Tensor, "h w"]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Mean and std of (s_x, s_y, x, y)."""
        with torch.no_grad(), full_precision(image.device):
            residual = (image - background).abs()
            position = self.propose(residual)
        for _ in range(self.rounds):
            position = position.detach()
            with torch.no_grad(), full_precision(image.device):
                seen = self.look(residual, position)
            out = self.refine(seen).to(position.dtype)
            position = position + self.scale * torch.tanh(out[..., 2:4])
        size = self.extent[0] + (self.extent[1] - self.extent[0]) * out[..., 0:2].sigmoid()
        return torch.cat([size, position], -1), STD_FLOOR + self.max_std * out[..., 4:8].sigmoid()

    def propose(self, residual: Float[Tensor, "n h w"]) -> Float[Tensor, "n k 2"]:
        """Greedy pursuit: K places of large residual, each blanked out before the next is sought."""
        y, x = (pixel_centres(size, residual) for size in residual.shape[1:])
        blur_x, blur_y = self._window(x[:, None] - x), self._window(y[:, None] - y)
        left, found = residual, []
        for _ in range(self.slots):
            smooth = blur_y @ (left @ blur_x)
            row = smooth.amax(-1).argmax(-1, keepdim=True)  # the first peak, and quicker than argmax over all
            column = smooth.take_along_dim(row[..., None], 1)[:, 0].argmax(-1, keepdim=True)
            place = torch.cat([x[column], y[row]], -1)
            for _ in range(3):
                place = self._centre(left, place, x, y)
            found.append(place)
            left = left.addcmul(left, self._disc(x - place[:, 0:1], y - place[:, 1:2]), value=-1)
        return torch.stack(found, 1)

    def look(
        self, residual: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k f"]:
        """Two glimpses a slot: of the residual, and of what the other slots explain of it."""
        extent = torch.full_like(position, self.view * self.scale)
        near = read(residual[:, None], position, extent, self.glimpse)[:, :, 0]
        at = sample_points(position, extent, self.glimpse)  # n k 2 g
        dx = at[:, :, None, 0] - position[:, None, :, 0, None]  # n k j g: to slot j
        dy = at[:, :, None, 1] - position[:, None, :, 1, None]
        own = torch.eye(self.slots, device=near.device, dtype=torch.bool)[:, :, None]
        others = self._disc(dx.masked_fill(own, torch.inf), dy).sum(2)
        return torch.stack([near, others], 2).flatten(2)

    def _window(self, distance: Tensor) -> Tensor:
        return torch.exp(-0.5 * (distance / (0.6 * self.scale)).square())

    def _centre(self, residual: Tensor, place: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """One step of mean shift: the centre of mass of the residual under a window at `place`."""
        wx, wy = self._window(x - place[:, 0:1]), self._window(y - place[:, 1:2])
        columns = torch.stack([wy, wy * y], 1) @ residual * wx[:, None]  # n 2 w: mass, and mass times y
        mass, moment_y = columns.sum(-1, keepdim=True).unbind(1)
        moment_x = columns[:, 0] @ x[:, None]
        mass = mass + 1e-6
        shifted = torch.cat([moment_x, moment_y], -1) / mass
        return torch.where(mass > 1e-3, shifted, place)

    def _disc(self, dx: Float[Tensor, "*b w"], dy: Float[Tensor, "*b h"]) -> Float[Tensor, "*b h w"]:
        """1 within an object's reach, falling to 0 around its edge (at `scale` it is 1/2)."""
        left_over = 1.5 - (dx / self.scale).square()
        return (left_over[..., None, :] - (dy / self.scale).square()[..., :, None]).clamp_(0, 1)


def _logit(p: float) -> float:
    return torch.logit(torch.tensor(p)).item()


# Networks that say of proposed boxes, one after the other, whether there is one object more.

START = 1.0  # the first logit: an object that is never present cannot learn what it looks like


@register(Counter)
class GlimpseCounter(nn.Module):
    """An LSTM that looks at one box after the other, and at what the boxes before it cover of that.

    glimpse: edge of what it sees, samples. margin: half-extent of that, in sizes of the box.
    """

    def __init__(
        self, height: int, width: int, slots: int, glimpse: int = 16, hidden: int = 64, margin: float = 1.3
    ):
        super().__init__()
        self.pixel, self.glimpse, self.margin = 2 / min(height, width), glimpse, margin
        self.attend = nn.LSTM(2 * glimpse**2, hidden, batch_first=True)
        self.more = nn.Linear(hidden, 1)
        nn.init.constant_(self.more.bias, START)

    def forward(
        self, light: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k"]:
        """The logit of each slot's presence, where those before it are present."""
        extent = self.margin * size
        glimpse = read(light[:, None], position, extent, self.glimpse)[:, :, 0]
        seen = torch.stack([glimpse, self._covered(position, size, extent)], 2).flatten(2)
        return self.more(self.attend(seen)[0])[..., 0].to(light.dtype)

    def _covered(
        self, position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"], extent: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k i j"]:
        """The share of each sample of a slot's glimpse that the boxes of the slots before it cover."""
        at = sample_points(position, extent, self.glimpse)
        cover = box_cover(at[:, :, None], position[:, None], size[:, None], self.pixel)  # n k slot xy sample
        before = torch.ones_like(cover[0, :, :, 0, 0]).tril(-1)
        across, down = before[:, :, None] * cover[..., 0, :], cover[..., 1, :]
        return (down.transpose(-1, -2) @ across).clamp(max=1)


@register(Counter)
class ImageCounter(nn.Module):
    """An LSTM that sees the whole image at every slot, as in Eslami et al. 2016 (arXiv 1603.08575).

    There it also hears what was drawn for the slots before; here it knows only that they are present.
    """

    def __init__(self, height: int, width: int, slots: int, hidden: int = 256):
        super().__init__()
        self.attend = nn.LSTM(height * width, hidden, batch_first=True)
        self.more = nn.Linear(hidden, 1)
        nn.init.constant_(self.more.bias, START)

    def forward(
        self, light: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k"]:
        """The logit of each slot's presence, where those before it are present."""
        repeated = light.flatten(1)[:, None].expand(-1, position.shape[1], -1)
        return self.more(self.attend(repeated)[0])[..., 0].to(light.dtype)
