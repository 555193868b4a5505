"""Networks between a whole image and a vector: encoders to features, decoders to pixels before the link.

Every class takes the image's height, width and channels, and the vector's size; any image size will do.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from seqvae.config import register
from seqvae.distributions import gaussian_log_density
from seqvae.nn.glimpse import pixel_centres
from seqvae.nn.kinds import ImageDecoder, ImageEncoder, Likelihood
from seqvae.nn.layers import mlp

SMALLEST = 4  # pixels: convolutions halve an image until its shorter side is no longer than this


@register(ImageEncoder)
class FullyConnectedEncoder(nn.Module):
    """The flattened image through linear layers. hidden: their widths; () makes it linear."""

    def __init__(
        self, height: int, width: int, channels: int, size: int, hidden: tuple[int, ...] = (256, 256)
    ):
        super().__init__()
        self.layers = mlp(channels * height * width, *hidden, size)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n size"]:
        return self.layers(image.flatten(1))


@register(ImageDecoder)
class FullyConnectedDecoder(nn.Module):
    """The mirror image of FullyConnectedEncoder."""

    def __init__(
        self, height: int, width: int, channels: int, size: int, hidden: tuple[int, ...] = (256, 256)
    ):
        super().__init__()
        self.shape = (channels, height, width)
        self.layers = mlp(size, *hidden, channels * height * width)

    def forward(self, code: Float[Tensor, "n size"]) -> Float[Tensor, "n c h w"]:
        return self.layers(code).unflatten(1, self.shape)


@register(ImageEncoder)
class ConvEncoder(nn.Module):
    """Convolutions of stride 2 down to a few pixels, then one linear layer. features: of each convolution.

    The last number of features is repeated as often as the image has to be halved.
    """

    def __init__(
        self, height: int, width: int, channels: int, size: int, features: tuple[int, ...] = (16, 32, 32)
    ):
        super().__init__()
        sizes = _halvings(height, width)
        widths = _stretched(features, len(sizes) - 1)
        layers: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            layers += [loud(nn.Conv2d(before, after, 3, stride=2, padding=1), 9 * before), nn.ELU()]
        (h, w), last = sizes[-1], widths[-1] if widths else channels
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(last * h * w, size))

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n size"]:
        return self.layers(image)


@register(ImageDecoder)
class ConvDecoder(nn.Module):
    """One linear layer to a few pixels, then transposed convolutions of stride 2 up to the image.

    features: as in ConvEncoder, in the encoder's order.
    """

    def __init__(
        self, height: int, width: int, channels: int, size: int, features: tuple[int, ...] = (16, 32, 32)
    ):
        super().__init__()
        self.sizes = _halvings(height, width)
        widths = [channels, *_stretched(features, len(self.sizes) - 1)]
        h, w = self.sizes.pop()
        self.coarse = nn.Sequential(nn.Linear(size, widths[-1] * h * w), nn.Unflatten(1, (widths[-1], h, w)))
        self.layers = nn.ModuleList(
            loud(nn.ConvTranspose2d(widths[i + 1], widths[i], 4, stride=2, padding=1), 4 * widths[i + 1])
            for i in reversed(range(len(self.sizes)))
        )

    def forward(self, code: Float[Tensor, "n size"]) -> Float[Tensor, "n c h w"]:
        image = self.coarse(code)
        for layer, (h, w) in zip(self.layers, reversed(self.sizes), strict=True):
            image = layer(nn.functional.elu(image))[..., :h, :w]  # an odd size was rounded up when halved
        return image


@register(ImageDecoder)
class BroadcastDecoder(nn.Module):
    """Spatial broadcast decoder (Watters et al. 2019, arXiv 1901.07017).

    The vector is repeated at every pixel, joined by that pixel's coordinates, and passes through
    convolutions of stride 1. `stride` > 1 broadcasts to every so many pixels only and enlarges the result
    at the end: cheaper by its square.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        size: int,
        features: int = 32,
        layers: int = 3,
        stride: int = 1,
    ):
        super().__init__()
        self.height, self.width = height, width
        self.grid = (-(-height // stride), -(-width // stride))
        # the first layer sees the same vector everywhere, so it is a linear map of it plus one of the place
        self.from_code = nn.Linear(size, features)
        self.from_place = nn.Conv2d(2, features, 1, bias=False)
        convolutions: list[nn.Module] = []
        for _ in range(layers):
            convolutions += [nn.ELU(), loud(nn.Conv2d(features, features, 3, padding=1), 9 * features)]
        enlarge = nn.Conv2d(features, channels * stride**2, 1)
        self.layers = nn.Sequential(*convolutions, nn.ELU(), enlarge, nn.PixelShuffle(stride))

    def forward(self, code: Float[Tensor, "n size"]) -> Float[Tensor, "n c h w"]:
        y, x = (pixel_centres(n, code) for n in self.grid)
        place = torch.stack(torch.broadcast_tensors(x, y[:, None]))
        everywhere = rearrange(self.from_code(code), "n f -> n f 1 1") + self.from_place(place[None])
        return self.layers(everywhere)[..., : self.height, : self.width]


def loud(layer: nn.Module, fan_in: float) -> nn.Module:
    """The layer with weights that keep the variance of what passes (LeCun et al. 1998).

    Those of PyTorch shrink it by 3, in a transposed layer of stride 2 by 12; so quiet a decoder first learns
    to draw the mean image, and stays with that for long. fan_in: inputs that make up one output.
    """
    nn.init.normal_(layer.weight, std=fan_in**-0.5)
    return layer


def _halvings(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes of an image as it is halved (rounded up) until its shorter side is SMALLEST or less."""
    sizes = [(height, width)]
    while min(sizes[-1]) > SMALLEST:
        h, w = sizes[-1]
        sizes.append((-(-h // 2), -(-w // 2)))
    return sizes


def _stretched(features: tuple[int, ...], count: int) -> list[int]:
    return [features[min(i, len(features) - 1)] for i in range(count)]


# Likelihoods of pixels given a decoder's output, nats an image.

STD_FLOOR = 1e-3  # of the full range: a learned std without a floor runs to 0 where pixels never change


@register(Likelihood)
class Bernoulli(nn.Module):
    """p(x | raw) = prod over pixels of Bernoulli(x; sigmoid(raw)).

    threshold: pixels above it count as 1, all others as 0 (a fixed binarisation of the data, so numbers are
    those of the binarised images). None takes pixels between 0 and 1 as they are: a cross-entropy, which is
    no density and is reported as such.
    """

    def __init__(self, threshold: float | None = 0.5):
        super().__init__()
        self.threshold = threshold
        self.normalised = threshold is not None

    def log_prob(self, x: Float[Tensor, "*b c h w"], raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b"]:
        if self.threshold is not None:
            x = (x > self.threshold).to(raw.dtype)
        return -nn.functional.binary_cross_entropy_with_logits(raw, x, reduction="none").sum((-3, -2, -1))

    def mean(self, raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        return raw.sigmoid()


@register(Likelihood)
class Gaussian(nn.Module):
    """p(x | raw) = prod over pixels of N(x; mean, std^2), with one std, in units of the full range.

    std: fixed, or where a learned one starts (`learn`). bounded: the mean is sigmoid(raw), else raw itself.
    """

    normalised = True

    def __init__(self, std: float = 0.1, learn: bool = False, bounded: bool = True):
        super().__init__()
        self.bounded = bounded
        self.log_std = nn.Parameter(torch.tensor(std).log(), requires_grad=learn)

    @property
    def std(self) -> Tensor:
        return self.log_std.exp() + STD_FLOOR

    def log_prob(self, x: Float[Tensor, "*b c h w"], raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b"]:
        return gaussian_log_density(x, self.mean(raw), self.std).sum((-3, -2, -1))

    def mean(self, raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        return raw.sigmoid() if self.bounded else raw
