"""Which slot is which object, and how far from it. Distances are Euclidean: both axes in one unit."""

from __future__ import annotations

import numpy as np
from einops import repeat
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.optimize import linear_sum_assignment


def frames(first: int, last: int) -> slice:
    """Array indices of the frames first to last, counted from 1 and both included."""
    return slice(first - 1, last)


def distances(
    slots: Float[np.ndarray, "n t s 2"], truth: Float[np.ndarray, "n t k 2"]
) -> Float[np.ndarray, "n t k s"]:
    """Euclidean distance of every object to every slot."""
    return np.linalg.norm(truth[:, :, :, None] - slots[:, :, None], axis=-1)


def object_order(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Int[np.ndarray, "n k"]:
    """For each object the slot that stands for it: one assignment a sequence, over the frames given.

    The one with the least mean Euclidean distance. The protocol takes it over frames 3-7 and keeps it,
    so later identity swaps cost. Frames in which an object is not present say nothing about it. There may
    be more slots than objects, not fewer (ValueError).
    """
    if slots.shape[2] < truth.shape[2]:
        raise ValueError(f"{slots.shape[2]} slots cannot stand for {truth.shape[2]} objects")
    present = np.ones(truth.shape[:-1], dtype=bool) if present is None else present
    cost = distances(slots, truth).sum(1, where=present[..., None]) / np.maximum(present.sum(1), 1)[..., None]
    cost = np.nan_to_num(cost, nan=1e9, posinf=1e9)  # states that are not finite still get some order
    return np.stack([linear_sum_assignment(c)[1] for c in cost])


def reorder(
    x: Shaped[np.ndarray, "n t s *d"], order: Int[np.ndarray, "n k"]
) -> Shaped[np.ndarray, "n t k *d"]:
    """Slots in the order of the objects."""
    return x[np.arange(len(x))[:, None], :, order].swapaxes(1, 2)


def euclidean_error(
    predicted: Float[np.ndarray, "n t k 2"],
    truth: Float[np.ndarray, "n t k 2"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Float[np.ndarray, "n t"]:
    """Mean over present objects of the Euclidean distance: position error, or velocity error.

    Undefined, NaN, in a frame without objects.
    """
    return mean_of_present(np.linalg.norm(predicted - truth, axis=-1), present)


def mean_of_present(
    values: Shaped[np.ndarray, "n t k"], present: Bool[np.ndarray, "n t k"] | None
) -> Float[np.ndarray, "n t"]:
    """Mean over the objects that are present (None: all), NaN in a frame without any."""
    if present is None:
        return values.mean(-1)
    count = present.sum(-1)
    return np.where(count > 0, values.sum(-1, where=present) / np.maximum(count, 1), np.nan)


def found(
    slots: Float[np.ndarray, "n t s 2"],
    truth: Float[np.ndarray, "n t k 2"],
    radius: Float[np.ndarray, "n t k"],
    present: Bool[np.ndarray, "n t k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Whether in each frame given every present object has a slot of its own within one radius.

    True of a sequence without objects, in which there is nothing to find.
    """
    far = ~(distances(slots, truth) <= radius[..., None])  # a NaN distance is far
    if present is not None:
        far &= present[..., None]
    n, t, k, s = far.shape
    if s < k:
        return np.zeros(n, dtype=bool)
    free = [not c[linear_sum_assignment(c)].any() for c in far.reshape(n * t, k, s).astype(float)]
    return np.array(free).reshape(n, t).all(1)


def context_swap(
    slots: Float[np.ndarray, "n 8 s 2"],
    truth: Float[np.ndarray, "n 8 k 2"],
    present: Bool[np.ndarray, "n 8 k"] | None = None,
) -> Bool[np.ndarray, "n"]:
    """Whether the best assignment over frames 6-8 differs from that over frames 3-5, for an object that is
    present in both."""
    present = np.ones(truth.shape[:-1], dtype=bool) if present is None else present
    early, late = frames(3, 5), frames(6, 8)
    before = object_order(slots[:, early], truth[:, early], present[:, early])
    after = object_order(slots[:, late], truth[:, late], present[:, late])
    stayed = present[:, early].any(1) & present[:, late].any(1)
    return ((before != after) & stayed).any(1)


def mask_centroids(masks: Float[np.ndarray, "n t s h w"]) -> Float[np.ndarray, "n t s 2"]:
    """Centre of mass of each mask (x right, y down, each from -1 to 1); NaN where a mask is empty."""
    h, w = masks.shape[-2:]
    y, x = (2 * np.arange(h) + 1) / h - 1, (2 * np.arange(w) + 1) / w - 1
    rows, columns = (masks.sum(axis, dtype=np.float64) for axis in (-1, -2))
    mass = rows.sum(-1)
    mass = np.where(mass > 0, mass, np.nan)
    return np.stack([columns @ x / mass, rows @ y / mass], axis=-1)


def last_seen(
    positions: Float[np.ndarray, "n t s 2"], seen: Bool[np.ndarray, "n t s"]
) -> Float[np.ndarray, "n t s 2"]:
    """Positions of slots; one that is not seen stays where it last was. NaN where it was not seen before.

    A slot that is seen at a position that is not finite has that position.
    """
    frame = np.where(seen, np.arange(positions.shape[1])[:, None], -1)
    last = np.maximum.accumulate(frame, 1)[..., None]
    return np.where(last < 0, np.nan, np.take_along_axis(positions, np.maximum(last, 0), 1))


# How many objects a frame shows: true and inferred counts.


def visible(masks: UInt8[np.ndarray, "*t h w"]) -> Int[np.ndarray, "*t"]:
    """How many objects show in each mask (0 background, k + 1 object k)."""
    labels = range(1, int(masks.max(initial=0)) + 1)
    return sum(((masks == k).any((-2, -1)).astype(int) for k in labels), np.zeros(masks.shape[:-2], int))


def count_accuracy(inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> Float[np.ndarray, "n"]:
    """The share of a sequence's frames in which the inferred number of objects is the true one."""
    return (inferred == truth).mean(1)


def confusion(
    inferred: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]
) -> Int[np.ndarray, "count count"]:
    """How many frames with this true number of objects (row) were given that one (column), from 0 on."""
    most = max(inferred.max(initial=0), truth.max(initial=0)) + 1
    table = np.zeros((most, most), int)
    np.add.at(table, (truth.ravel(), inferred.ravel()), 1)
    return table


# Baselines that need no model: an object stays where it is, goes straight on, or bounces off the walls.


def static(position: Float[np.ndarray, "n k 2"], horizon: int) -> Float[np.ndarray, "n t k 2"]:
    """The last position, `horizon` times."""
    return repeat(position, "n k x -> n t k x", t=horizon)


def linear(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    clamp: float | Float[np.ndarray, "n k"],
) -> Float[np.ndarray, "n t k 2"]:
    """position + h velocity, h = 1..horizon, clamped to [-clamp, clamp], for all or by object.

    Kossen et al. 2020 (arXiv 1910.02425) clamp at 0.8 half-widths, for gravity at 0.9.
    """
    steps = np.arange(1, horizon + 1)[:, None, None]
    wall = np.asarray(clamp)[..., None, :, None] if np.ndim(clamp) else clamp
    return np.clip(position[:, None] + steps * velocity[:, None], -wall, wall)


def bouncing(
    position: Float[np.ndarray, "n k 2"],
    velocity: Float[np.ndarray, "n k 2"],
    horizon: int,
    wall: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "n t k 2"], Float[np.ndarray, "n t k 2"]]:
    """Positions and velocities of straight lines reflected at -wall and wall, h = 1..horizon.

    A reflected line is a triangle wave of period 4 wall in u = position + h velocity, so it is exact whatever
    the number of reflections in a frame. A position beyond a wall starts at the wall.
    """
    wall = np.maximum(wall, np.finfo(float).tiny)[:, None, :, None]
    start = np.clip(position[:, None], -wall, wall)
    unbounded = start + np.arange(1, horizon + 1)[:, None, None] * velocity[:, None]
    phase = np.mod(unbounded + wall, 4 * wall)
    direction = np.where(phase < 2 * wall, 1.0, -1.0)
    return wall - np.abs(phase - 2 * wall), direction * velocity[:, None]


# Does a long rollout stay in the world it was started in? Energy, box, number of objects.


def kinetic_energy(
    velocities: Float[np.ndarray, "*n k 2"], masses: Float[np.ndarray, "*#n k"] | float = 1.0
) -> Float[np.ndarray, "*n"]:
    """sum_k m_k |v_k|^2 / 2."""
    return (0.5 * masses * np.square(velocities).sum(-1)).sum(-1)


def in_box(positions: Float[np.ndarray, "*n k 2"]) -> Bool[np.ndarray, "*n k"]:
    """Whether each object's centre lies in the frame, [-1, 1] in both coordinates."""
    return (np.abs(positions) <= 1).all(-1)  # false for NaN


def distinct_objects(
    positions: Float[np.ndarray, "*n k 2"], radius: float, aspect: float = 1.0
) -> Int[np.ndarray, "*n"]:
    """How many different objects are left in the frame.

    Slots nearer to each other than one radius stand for the same object (bodies do not overlap that
    far), also when linked through a third slot. Slots outside the frame are not counted. radius: in
    half-widths. aspect: height over width of the frame, as y is in half-heights.
    """
    inside = in_box(positions)
    lengths = positions * np.array([1.0, aspect])
    apart = np.linalg.norm(lengths[..., :, None, :] - lengths[..., None, :, :], axis=-1)
    linked = (apart < radius) & inside[..., :, None] & inside[..., None, :]
    for _ in range(positions.shape[-2].bit_length()):  # squaring doubles the length of the paths followed
        linked = linked | (linked.astype(int) @ linked.astype(int) > 0)
    members = np.maximum(linked.sum(-1), 1)
    return np.rint((inside / members).sum(-1)).astype(int)  # a group of m counts m times 1 / m
