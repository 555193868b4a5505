"""Networks that say of proposed boxes, one after the other, whether there is one object more."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.nn.glimpse import box_cover, read, sample_points

START = 1.0  # the first logit: an object that is never present cannot learn what it looks like


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
