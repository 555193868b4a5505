"""AIR: a varying number of objects, each a box with an appearance, added up on a black canvas.

Eslami et al. 2016, arXiv 1603.08575.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.layout import Field, StateLayout
from seqvae.nn.boxes import STD_FLOOR, encode_boxes
from seqvae.nn.glimpse import blob, write
from seqvae.nn.kinds import BoxEncoder, Counter
from seqvae.nn.layers import in_full_precision, mlp, output_layer
from seqvae.types import Encoding, FrameModel, Scene

SMALLEST, LARGEST = 0.05, 2.0  # half-extents of what is drawn, half-widths


@register(FrameModel)
class AIR(FrameModel):
    """p(x_t | z_t) = N(x_t; sum_k presence_k write(glimpse(appearance_k), size_k, position_k), std^2).

    encoder: makes the network that proposes K boxes
    counter: makes the network that decides, box by box, whether there is one more object
    appearance: size of the code of a glimpse
    glimpse: edge of the glimpses, samples
    hidden: width of the networks that read and draw a glimpse
    std: of the pixels, in units of the full range; the start value if it is learned
    learn_std: whether std is learned
    dark: logit of a glimpse's light before training
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        slots: int,
        encoder: Callable[..., BoxEncoder],
        counter: Callable[..., Counter],
        appearance: int = 16,
        glimpse: int = 16,
        hidden: int = 128,
        std: float = 0.3,
        learn_std: bool = False,
        dark: float = -2.0,
    ):
        super().__init__()
        self.height, self.width, self.channels, self.slots = height, width, channels, slots
        self.glimpse = glimpse
        self.layout = StateLayout(
            (
                Field("presence", 1, "frame"),
                Field("size", 2, "frame"),
                Field("position", 2, "frame"),
                Field("appearance", appearance, "frame"),
            )
        )
        self.encoder = encoder(height=height, width=width, slots=slots)
        self.size_limits = self.encoder.extent
        self.counter = counter(height=height, width=width, slots=slots)
        self.look = mlp(channels * glimpse**2, hidden, 2 * appearance)
        self.draw = mlp(appearance, hidden, hidden, channels * glimpse**2)
        self.log_std = nn.Parameter(torch.tensor(std).log(), requires_grad=learn_std)
        with torch.no_grad():  # light starts as a faint blob, so that a box has a centre
            bias = output_layer(self.draw).bias
            bias.view(channels, glimpse, glimpse).add_(dark + blob(glimpse, peak=1, fall=2))

    def encode(self, video: Float[Tensor, "b t c h w"]) -> Encoding:
        """Return boxes from the encoder, appearance from their glimpses, presence from the counter.

        The number of a slot's presence is its logit, given that the slots before it are present.
        """
        image = rearrange(video, "b t c h w -> (b t) c h w")
        light = image.amax(1)
        box, box_std, appearance, appearance_std = encode_boxes(
            self.encoder, self.look, image, light, torch.zeros_like(light[0]), self.glimpse
        )
        size, position = box[..., :2].detach(), box[..., 2:].detach()
        logit = self.counter(light, position, size)[..., None]
        mean = torch.cat([logit, box, appearance], -1)
        precision = torch.cat([torch.ones_like(logit), box_std.pow(-2), appearance_std.pow(-2)], -1)
        return Encoding(mean, precision).map(lambda x: x.unflatten(0, video.shape[:2]))

    @in_full_precision
    def terms(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Return log p(x_t | z_t), nats per frame."""
        return {"log_likelihood": self._log_likelihood(video, self._lights(z).sum(2))}

    @in_full_precision
    def terms_by_count(
        self,
        video: Float[Tensor, "b t c h w"],
        z: Float[Tensor, "b t k d"],
        encoding: Encoding | None,
        context: Tensor | None,
    ) -> dict[str, Float[Tensor, "n b t"]]:
        """Return `terms` of the first n slots of z alone, for n = 0 to K; each slot is decoded once."""
        canvas = pad(self._lights(z).cumsum(2), (0, 0, 0, 0, 0, 0, 1, 0))  # b t n c h w
        log_likelihood = self._log_likelihood(video[:, :, None], canvas)
        return {"log_likelihood": rearrange(log_likelihood, "b t n -> n b t")}

    def decode(self, z: Float[Tensor, "b t k d"], context: Tensor | None = None) -> Scene:
        """Return the canvas, and as masks the light that each slot adds to it."""
        lights = self._lights(z)
        return Scene(lights.sum(2).clamp(0, 1), lights.amax(3))

    def _log_likelihood(
        self, video: Float[Tensor, "*#b c h w"], canvas: Float[Tensor, "*b c h w"]
    ) -> Float[Tensor, "*b"]:
        return gaussian_log_density(video, canvas, self.log_std.exp() + STD_FLOOR).sum((-3, -2, -1))

    def _lights(self, z: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k c h w"]:
        """Return the light that each slot adds to the canvas: none if it is absent."""
        part = self.layout.split(rearrange(z, "b t k d -> (b t) k d"))
        drawn = self.draw(part["appearance"]).sigmoid() * part["presence"]
        drawn = drawn.unflatten(-1, (self.channels, self.glimpse, self.glimpse))
        size = part["size"].clamp(SMALLEST, LARGEST)
        lights = write(drawn, part["position"], size, self.height, self.width)
        return lights.unflatten(0, z.shape[:2])
