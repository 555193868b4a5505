"""Statistics of a model's slots over one batch, and warnings where slots have collapsed.

Each warning has a known cause. Boxes at their limits explain background instead of objects. A slot that stays
in one place holds no object. Two slots on one object leave another one without. An exploding KL or std means
that posterior and dynamics disagree. A model that counts and always finds none, or all, no longer looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.distributions import Normal, elementwise_kl
from seqvae.layout import StateLayout
from seqvae.types import Terms, Trace

NEAR = 0.1  # half-widths between two slots on one object
MARGIN = 0.02  # share of the range of sizes that counts as its limit


@dataclass(frozen=True)
class SlotStatistics:
    """Statistics of slot number `slot`; None where the state has no such number.

    size: mean half-extent, half-widths
    at_limit: share of its boxes that have the smallest or largest size
    spread: std of its position over sequences and frames, half-widths
    motion: mean distance between successive frames, half-widths
    mass: share of the pixels that its mask takes
    kl: KL over all frames, nats per frame
    """

    slot: int
    size: float | None = None
    at_limit: float | None = None
    spread: float | None = None
    motion: float | None = None
    mass: float | None = None
    kl: float | None = None


@dataclass(frozen=True)
class BatchStatistics:
    """Statistics of all slots over one batch.

    slots: one record per slot
    counts: share of the frames with n objects, for n from 0, of models that count
    std: mean posterior std per field of the state
    shared: share of the frames in which two slots are nearer than NEAR
    nearest: mean distance to the nearest other slot, half-widths
    kl: estimate of the mean KL over slots, in the frames that the objective counts, nats per slot and frame
    """

    slots: tuple[SlotStatistics, ...] = ()
    counts: tuple[float, ...] = ()
    std: dict[str, float] = field(default_factory=dict)
    shared: float | None = None
    nearest: float | None = None
    kl: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Return the numbers that exist by their keys in the log: kl, shared, size_0, std_position."""
        numbers = {f"count_{n}": share for n, share in enumerate(self.counts)}
        for name in ("size", "at_limit", "spread", "motion"):
            numbers |= self._per_slot(name)
        numbers |= {name: x for name in ("shared", "nearest") if (x := getattr(self, name)) is not None}
        numbers |= {f"std_{name}": value for name, value in self.std.items()}
        numbers |= self._per_slot("mass") | self._per_slot("kl")
        return numbers | ({} if self.kl is None else {"kl": self.kl})

    def _per_slot(self, name: str) -> dict[str, float]:
        values = {f"{name}_{s.slot}": getattr(s, name) for s in self.slots}
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class Limits:
    """Values beyond which a statistic is a warning; below it for `spread`.

    background: mass of slot 0
    std: half-widths
    count: share of the frames with no object, or with as many as there are slots
    """

    at_limit: float = 0.5
    spread: float = 0.05
    shared: float = 0.2
    kl: float = 1e3
    mass: float = 0.95
    background: float = 0.999
    std: float = 1.0
    count: float = 0.99


@torch.no_grad()
def slot_statistics(
    trace: Trace,
    terms: Terms,
    layout: StateLayout,
    size_limits: tuple[float, float] | None = None,
    background: int = 0,
) -> BatchStatistics:
    """Return the statistics of one batch's trace; waits for the device.

    Slots of models that count follow nothing and are often absent, so they have a KL alone.

    size_limits: smallest and largest half-extent of a box, half-widths
    background: number of slots, the first ones, that have a mass and a KL alone
    """
    z = trace.z.detach().float()
    slots, first = range(z.shape[2]), background
    values: dict[tuple[str, int | str], Tensor] = {}  # (statistic, slot or field) -> a number on the device
    if "presence" in layout:
        values |= {("counts", n): x for n, x in enumerate(_counts(z[..., layout["presence"]]))}
    else:
        boxes: dict[str, Tensor] = {}
        if "size" in layout:
            boxes |= _sizes(z[:, :, first:, layout["size"]], size_limits)
        if "position" in layout:
            boxes |= _positions(z[:, :, first:, layout["position"]])
            values |= {(name, ""): x for name, x in _distances(z[:, :, first:, layout["position"]]).items()}
        values |= {(name, k + first): x for name, row in boxes.items() for k, x in enumerate(row)}
    values |= {(name, k): row[k] for name, row in _masses_and_kl(trace).items() for k in slots}
    std = getattr(trace.posterior, "std", None)
    if isinstance(std, Tensor):
        values |= {("std", f.name): std[..., layout[f.name]].mean() for f in layout.fields}
    if {"log_prior", "neg_log_posterior"} <= terms.values.keys():
        values["kl", ""] = -terms.per_frame("log_prior", "neg_log_posterior") / z.shape[2]
    return _record(values, z.shape[2])


def _record(values: dict[tuple[str, int | str], Tensor], slots: int) -> BatchStatistics:
    """Fetch all numbers at once, and sort them into records."""
    numbers = torch.stack([x.float() for x in values.values()]).tolist() if values else []
    known = dict(zip(values, numbers, strict=True))
    per_slot: list[dict[str, float]] = [{} for _ in range(slots)]
    counts, std, single = [], {}, {}
    for (name, where), number in known.items():
        if name == "counts":
            counts.append(number)
        elif isinstance(where, int):
            per_slot[where][name] = number
        elif where:
            std[where] = number
        else:
            single[name] = number
    records = tuple(SlotStatistics(k, **row) for k, row in enumerate(per_slot))
    return BatchStatistics(records, tuple(counts), std, **single)


def _counts(presence: Float[Tensor, "b t k 1"]) -> list[Tensor]:
    count = presence[..., 0].sum(-1).round()
    return [(count == n).float().mean() for n in range(presence.shape[2] + 1)]


def _sizes(
    size: Float[Tensor, "b t k s"], limits: tuple[float, float] | None
) -> dict[str, Float[Tensor, " k"]]:
    statistics = {"size": torch.stack([size[:, :, k].mean() for k in range(size.shape[2])])}
    if limits is not None:
        low, high = limits
        margin = MARGIN * (high - low)
        at_limit = ((size < low + margin) | (size > high - margin)).any(-1).float()
        statistics["at_limit"] = at_limit.mean((0, 1))
    return statistics


def _positions(x: Float[Tensor, "b t k xy"]) -> dict[str, Float[Tensor, " k"]]:
    statistics = {"spread": x.flatten(0, 1).std(0, correction=0).norm(dim=-1)}
    if x.shape[1] > 1:
        statistics["motion"] = (x[:, 1:] - x[:, :-1]).norm(dim=-1).mean((0, 1))
    return statistics


def _distances(x: Float[Tensor, "b t k xy"]) -> dict[str, Float[Tensor, ""]]:
    if x.shape[2] < 2:
        return {}
    apart = torch.cdist(x, x)
    apart = apart.masked_fill(torch.eye(x.shape[2], dtype=torch.bool, device=x.device), float("inf"))
    closest = apart.amin((-2, -1))  # "b t", the closest pair of each frame
    return {"shared": (closest < NEAR).float().mean(), "nearest": apart.amin(-1).mean()}


def _masses_and_kl(trace: Trace) -> dict[str, Float[Tensor, " k"]]:
    statistics = {}
    if trace.encoding is not None and "log_masks" in trace.encoding.features:
        statistics["mass"] = trace.encoding.features["log_masks"].exp().mean((0, 1, 3, 4))
    if isinstance(trace.posterior, Normal) and isinstance(trace.prior, Normal):
        statistics["kl"] = elementwise_kl(trace.posterior, trace.prior).sum(-1).mean((0, 1))
    return statistics


def warnings(statistics: BatchStatistics, limits: Limits = Limits()) -> dict[str, str]:  # noqa: B008  frozen
    """Return a sentence per statistic that is beyond its limit, by its key in the log."""
    found = dict(_warnings_of_batch(statistics, limits))
    for slot in statistics.slots:
        found |= dict(_warnings_of_slot(slot, limits))
    return found


def _warnings_of_slot(s: SlotStatistics, limits: Limits) -> Iterator[tuple[str, str]]:
    if s.at_limit is not None and s.at_limit > limits.at_limit:
        yield (
            f"at_limit_{s.slot}",
            f"slot {s.slot}: {s.at_limit:.0%} of its boxes have the smallest or largest size",
        )
    if s.spread is not None and s.spread < limits.spread:
        yield (
            f"spread_{s.slot}",
            f"slot {s.slot}: stays in one place (spread {s.spread:.3f}), so it follows no object",
        )
    if s.mass is not None and s.mass > (limits.background if s.slot == 0 else limits.mass):
        yield (
            f"mass_{s.slot}",
            f"slot {s.slot}: takes {s.mass:.0%} of all pixels, so the others hold nothing",
        )


def _warnings_of_batch(b: BatchStatistics, limits: Limits) -> Iterator[tuple[str, str]]:
    if b.shared is not None and b.shared > limits.shared:
        yield "shared", f"two slots sit on one object in {b.shared:.0%} of the frames"
    if b.kl is not None and b.kl > limits.kl:
        yield "kl", f"KL of {b.kl:.0f} nats per slot and frame: posterior and dynamics disagree"
    for name in ("size", "position", "velocity"):
        if b.std.get(name, 0.0) > limits.std:
            yield (
                f"std_{name}",
                f"posterior std of {name} is {b.std[name]:.2g} half-widths: the frames say nothing of it",
            )
    last = len(b.counts) - 1
    for n, share in enumerate(b.counts):
        if n in (0, last) and share > limits.count:
            amount = "no object" if n == 0 else f"{n} objects, as many as there are slots,"
            yield f"count_{n}", f"{amount} in {share:.0%} of the frames: the count is stuck"
