"""Signs that the slots of a model have collapsed, from one trace; told in plain words.

Each sign has a cause one has seen: boxes at their limits explain background instead of objects, a slot that
stays in one place holds no object, two slots on one object leave another without, an exploding KL or std
means that posterior and dynamics have lost each other; a model that counts and always says none, or all,
has stopped to look.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.distributions import Normal, elementwise_kl
from seqvae.layout import StateLayout
from seqvae.types import Terms, Trace


@dataclass(frozen=True)
class Limits:
    """When a number becomes a sign. Lengths in half-widths, shares in [0, 1], KL in nats a slot and frame."""

    at_size_limit: float = 0.5
    spread: float = 0.05
    shared: float = 0.2
    near: float = 0.1
    kl: float = 1e3
    mass: float = 0.95
    background: float = 0.999  # the mass of slot 0
    std: float = 1.0
    count: float = 0.99


def slot_numbers(
    trace: Trace,
    terms: Terms,
    layout: StateLayout,
    size_limits: tuple[float, float] | None = None,
    limits: Limits = Limits(),
    background: int = 0,
) -> dict[str, float]:
    """Numbers per slot k of one batch's trace; waits for the device.

    size_limits: the smallest and largest half-extent a box may have. Given where the layout has the field:
    size_k mean half-extent; at_limit_k share of boxes within 2 % of a limit; spread_k std of the position
    over sequences and frames; motion_k mean distance between frames; shared share of frames in which two
    slots are nearer than `limits.near`; nearest mean distance to the nearest other slot; std_NAME mean
    posterior std; mass_k share of the pixels that the encoder's mask takes; kl_k KL of a slot over all
    frames, kl an estimate of its mean over slots in those that the objective counts, nats a slot and frame.
    Of models that count, whose slots follow nothing and are often absent, there are only kl and count_n, the
    share of frames with n objects. background: how many slots, the first, are asked for mass and KL only.
    """
    with torch.no_grad():
        z = trace.z.detach().float()
        numbers: dict[str, Tensor] = {}
        counting = "presence" in layout
        if counting:
            numbers |= _counts(z[..., layout["presence"]])
        if "size" in layout and not counting:
            numbers |= _sizes(z[..., layout["size"]], size_limits, background)
        if "position" in layout and not counting:
            numbers |= _positions(z[..., layout["position"]], limits.near, background)
        std = getattr(trace.posterior, "std", None)
        if isinstance(std, Tensor):
            numbers |= {f"std_{f.name}": std[..., layout[f.name]].mean() for f in layout.fields}
        if trace.encoding is not None and "log_masks" in trace.encoding.features:
            mass = trace.encoding.features["log_masks"].exp().mean((0, 1, 3, 4))
            numbers |= {f"mass_{k}": share for k, share in enumerate(mass)}
        if isinstance(trace.posterior, Normal) and isinstance(trace.prior, Normal):
            kl = elementwise_kl(trace.posterior, trace.prior).sum(-1).mean((0, 1))
            numbers |= {f"kl_{k}": share for k, share in enumerate(kl)}
        if {"log_prior", "neg_log_posterior"} <= terms.values.keys():
            numbers["kl"] = -terms.per_frame("log_prior", "neg_log_posterior") / z.shape[2]
        values = torch.stack([value.float() for value in numbers.values()]).tolist() if numbers else []
    return dict(zip(numbers, values, strict=True))


def signs(numbers: dict[str, float], limits: Limits = Limits()) -> dict[str, str]:
    """What `slot_numbers` says that one should know: a sentence by sign; empty if all is well."""
    found = {}
    for name, value in numbers.items():
        kind, _, what = name.rpartition("_")
        if kind == "at_limit" and value > limits.at_size_limit:
            found[name] = f"slot {what}: {value:.0%} of its boxes have the smallest or largest size"
        elif kind == "spread" and value < limits.spread:
            found[name] = f"slot {what}: stays in one place (spread {value:.3f}), so it follows no object"
        elif name == "shared" and value > limits.shared:
            found[name] = f"two slots sit on one object in {value:.0%} of the frames"
        elif kind == "mass" and value > (limits.background if what == "0" else limits.mass):
            found[name] = f"slot {what}: takes {value:.0%} of all pixels, so the others hold nothing"
        elif kind == "count" and value > limits.count and int(what) in (0, _slots(numbers)):
            amount = "no object" if what == "0" else f"{what} objects, as many as there are slots,"
            found[name] = f"{amount} in {value:.0%} of the frames: the count is stuck"
        elif name == "kl" and value > limits.kl:
            found[name] = f"KL of {value:.0f} nats a slot and frame: posterior and dynamics disagree"
        elif name in ("std_size", "std_position", "std_velocity") and value > limits.std:
            found[name] = f"posterior std of {what} is {value:.2g} half-widths: the frames say nothing of it"
    return found


def _slots(numbers: dict[str, float]) -> int:
    """The largest count."""
    return sum(name.startswith("count_") for name in numbers) - 1


def _counts(presence: Float[Tensor, "b t k 1"]) -> dict[str, Tensor]:
    count = presence[..., 0].sum(-1).round()
    return {f"count_{n}": (count == n).float().mean() for n in range(presence.shape[2] + 1)}


def _sizes(
    size: Float[Tensor, "b t k s"], limits: tuple[float, float] | None, first: int
) -> dict[str, Tensor]:
    slots = range(first, size.shape[2])
    numbers = {f"size_{k}": size[:, :, k].mean() for k in slots}
    if limits is not None:
        low, high = limits
        margin = 0.02 * (high - low)
        at_limit = ((size < low + margin) | (size > high - margin)).any(-1).float()
        numbers |= {f"at_limit_{k}": at_limit[:, :, k].mean() for k in slots}
    return numbers


def _positions(x: Float[Tensor, "b t k xy"], near: float, first: int) -> dict[str, Tensor]:
    slots = range(first, x.shape[2])
    numbers = {f"spread_{k}": x[:, :, k].flatten(0, 1).std(0, correction=0).norm() for k in slots}
    if x.shape[1] > 1:
        moved = (x[:, 1:] - x[:, :-1]).norm(dim=-1)
        numbers |= {f"motion_{k}": moved[:, :, k].mean() for k in slots}
    x = x[:, :, first:]
    if x.shape[2] > 1:
        apart = torch.cdist(x, x)
        apart = apart.masked_fill(torch.eye(x.shape[2], dtype=torch.bool, device=x.device), float("inf"))
        nearest = apart.amin((-2, -1))  # b t: the closest pair of each frame
        numbers |= {"shared": (nearest < near).float().mean(), "nearest": apart.amin(-1).mean()}
    return numbers
