"""The kinds of network that parts are made with: how each is made, what it takes and what it returns.

A part asks for a kind in an annotation, `encoder: Callable[..., BoxEncoder]`, and its config then names any
network that is registered as one (seqvae/config.py). All of them are modules (`nn.Module`).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from seqvae.layout import StateLayout


@runtime_checkable
class BoxEncoder(Protocol):
    """From an image to K boxes. Made with height, width and slots.

    extent: smallest and largest half-extent of a box, half-widths
    """

    extent: tuple[float, float]

    def __call__(
        self, image: Float[Tensor, "n h w"], background: Float[Tensor, "h w"]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"]]:
        """Return mean and std of (s_x, s_y, x, y) of each box."""
        ...


@runtime_checkable
class ColourEncoder(Protocol):
    """From an image to K boxes and the colours that they show. Made with height, width and slots.

    extent: smallest and largest half-extent of a box, half-widths
    """

    extent: tuple[float, float]

    def __call__(
        self, image: Float[Tensor, "n c h w"], background: Float[Tensor, "c h w"]
    ) -> tuple[Float[Tensor, "n k 4"], Float[Tensor, "n k 4"], Float[Tensor, "n k c"], Bool[Tensor, "n k"]]:
        """Return mean and std of (s_x, s_y, x, y) of each box, its colour, and whether it shows that."""
        ...


@runtime_checkable
class Counter(Protocol):
    """From an image and K proposed boxes to how many hold an object. Made with height, width and slots."""

    def __call__(
        self, light: Float[Tensor, "n h w"], position: Float[Tensor, "n k 2"], size: Float[Tensor, "n k 2"]
    ) -> Float[Tensor, "n k"]:
        """Return the logit of each slot's presence, given that the slots before it are present."""
        ...


@runtime_checkable
class ImageEncoder(Protocol):
    """From an image to a vector. Made with height, width, channels and the vector's size."""

    def __call__(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n size"]: ...


@runtime_checkable
class ImageDecoder(Protocol):
    """From a vector to an image before the link function. Made with height, width, channels and size."""

    def __call__(self, code: Float[Tensor, "n size"]) -> Float[Tensor, "n c h w"]: ...


@runtime_checkable
class Likelihood(Protocol):
    """p(x | raw) of pixels given a decoder's output. Made without arguments from other parts.

    normalised: whether it is a density
    """

    normalised: bool

    def log_prob(self, x: Float[Tensor, "*b c h w"], raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b"]:
        """Return log p(x | raw), summed over pixels, nats."""
        ...

    def mean(self, raw: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
        """Return the expected pixels."""
        ...


@runtime_checkable
class RewardDensity(Protocol):
    """p(r | raw) of a reward given a network's output. Made without arguments from other parts.

    numbers: count of numbers of raw
    """

    numbers: int

    def log_prob(self, reward: Float[Tensor, "*b"], raw: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """Return log p(r | raw), nats."""
        ...

    def mean(self, raw: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """Return the expected reward."""
        ...

    def fault(self, rewards: Float[Tensor, "n"]) -> str | None:
        """Return why these rewards of a dataset cannot come from the density; None if they can."""
        ...


@runtime_checkable
class Attention(Protocol):
    """From an image to the masks of a background and K objects. Made with channels and objects."""

    def __call__(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """Return log masks that sum to one at each pixel; slot 0 is the background."""
        ...


@runtime_checkable
class Component(Protocol):
    """From what a mask shows to a slot's state and back. Made with height, width, channels and velocity.

    velocity, an argument: whether the state has one
    layout: the fields of the state
    """

    layout: StateLayout

    def encode(
        self, image: Float[Tensor, "n c h w"], log_masks: Float[Tensor, "n k h w"]
    ) -> tuple[Float[Tensor, "n k e"], Float[Tensor, "n k e"]]:
        """Return mean and precision of z."""
        ...

    def decode(
        self, z: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n k c #h #w"], Float[Tensor, "n k h w"]]:
        """Return mean colours and the logits of the masks."""
        ...
