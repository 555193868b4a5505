"""Networks between a whole image and a vector, and likelihoods of pixels given their output.

Encoders map an image to `size` numbers, decoders map `size` numbers to an image before the link function.
Each takes height, width and channels of the image; any image size will do.
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
from seqvae.nn.layers import lecun_normal_, mlp

# Encoders and decoders.

COARSEST = 4  # pixels: convolutions halve an image until its shorter side is no longer than this


@register(ImageEncoder)
class FullyConnectedEncoder(nn.Module):
    """Linear layers on the flattened image.

    hidden: widths of the hidden layers; () makes the encoder linear
    """

    def __init__(
        self, height: int, width: int, channels: int, size: int, hidden: tuple[int, ...] = (256, 256)
    ):
        super().__init__()
        self.layers = mlp(channels * height * width, *hidden, size)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n size"]:
        return self.layers(image.flatten(1))


@register(ImageDecoder)
class FullyConnectedDecoder(nn.Module):
    """Linear layers to the flattened image, the mirror image of FullyConnectedEncoder.

    hidden: widths of the hidden layers
    """

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
    """Convolutions of stride 2 down to a few pixels, then one linear layer.

    features: channels per convolution; the last number is repeated until the image is small enough
    """

    def __init__(
        self, height: int, width: int, channels: int, size: int, features: tuple[int, ...] = (16, 32, 32)
    ):
        super().__init__()
        sizes = _halvings(height, width)
        widths = _repeat_last(features, len(sizes) - 1)
        layers: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            layers += [lecun_normal_(convolution, 9 * before), nn.ELU()]
        (h, w), last = sizes[-1], widths[-1] if widths else channels
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(last * h * w, size))

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n size"]:
        return self.layers(image)


@register(ImageDecoder)
class ConvDecoder(nn.Module):
    """One linear layer to a few pixels, then transposed convolutions of stride 2 up to the image.

    features: channels per convolution as in ConvEncoder, in the encoder's order
    """

    def __init__(
        self, height: int, width: int, channels: int, size: int, features: tuple[int, ...] = (16, 32, 32)
    ):
        super().__init__()
        self.sizes = _halvings(height, width)
        widths = [channels, *_repeat_last(features, len(self.sizes) - 1)]
        h, w = self.sizes.pop()
        self.coarse = nn.Sequential(nn.Linear(size, widths[-1] * h * w), nn.Unflatten(1, (widths[-1], h, w)))
        # kernel 4 at stride 2: each output sums 2 x 2 inputs per channel
        self.layers = nn.ModuleList(
            lecun_normal_(
                nn.ConvTranspose2d(widths[i + 1], widths[i], 4, stride=2, padding=1), 4 * widths[i + 1]
            )
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

    The vector is repeated at every pixel, joined with the coordinates of that pixel, and passed through
    convolutions of stride 1.

    features: channels of the convolutions
    layers: number of convolutions
    stride: edge, in pixels, of the cells that the vector is broadcast to; the last layer enlarges the result.
        A stride of s costs 1 / s^2 of the computation
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
        # The first 1 x 1 layer on (vector, place) is linear in both, so it is computed once per vector and
        # once per place, and the vector is broadcast after it.
        self.from_code = nn.Linear(size, features)
        self.from_place = nn.Conv2d(2, features, 1, bias=False)
        convolutions: list[nn.Module] = []
        for _ in range(layers):
            convolution = nn.Conv2d(features, features, 3, padding=1)
            convolutions += [nn.ELU(), lecun_normal_(convolution, 9 * features)]
        enlarge = nn.Conv2d(features, channels * stride**2, 1)
        self.layers = nn.Sequential(*convolutions, nn.ELU(), enlarge, nn.PixelShuffle(stride))

    def forward(self, code: Float[Tensor, "n size"]) -> Float[Tensor, "n c h w"]:
        y, x = (pixel_centres(n, code) for n in self.grid)
        place = torch.stack(torch.broadcast_tensors(x, y[:, None]))  # 2 h w
        broadcast = rearrange(self.from_code(code), "n f -> n f 1 1") + self.from_place(place[None])
        return self.layers(broadcast)[..., : self.height, : self.width]


def _halvings(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes of an image halved, rounded up, until its shorter side is at most COARSEST."""
    sizes = [(height, width)]
    while min(sizes[-1]) > COARSEST:
        h, w = sizes[-1]
        sizes.append((-(-h // 2), -(-w // 2)))
    return sizes


def _repeat_last(features: tuple[int, ...], count: int) -> list[int]:
    """Return the first `count` numbers of features, followed by repetitions of its last one."""
    return [features[min(i, len(features) - 1)] for i in range(count)]


# Likelihoods of pixels given a decoder's output `raw`, nats per image.

STD_FLOOR = 1e-3  # of the full range: without a floor a learned std goes to 0 where pixels never change


@register(Likelihood)
class Bernoulli(nn.Module):
    """p(x | raw) = prod over pixels of Bernoulli(x; sigmoid(raw)).

    threshold: binarise the data, with pixels above it as 1 and all others as 0; densities are then those of
        binarised images. With None, pixels between 0 and 1 enter a cross-entropy as they are, which is no
        density and is reported as such
    normalised: whether log_prob is a log-density
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
    """p(x | raw) = prod over pixels of N(x; mean, std^2), with one std for all pixels.

    std: in units of the full range; the start value if it is learned
    learn: whether the std is learned
    bounded: whether the mean is sigmoid(raw); otherwise it is raw itself
    normalised: whether log_prob is a log-density
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
