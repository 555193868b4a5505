"""Motion of balls in layers, exact to the generator of G-SWM (Lin et al. 2020, arXiv 2010.02054).

Balls of one layer bounce off each other and pass over or under those of the other layers. Unlike in billiards
(data_gen/physics/collisions.py), a ball at a wall keeps its place, and the contacts of a substep are found
before the first one changes a velocity.
"""

from __future__ import annotations

import numpy as np

from data_gen.physics import ordered_pairs, to_planes

Pairs = tuple[np.ndarray, np.ndarray]


def pairs_within(layers: np.ndarray) -> Pairs:
    """Return the pairs i, j with j < i of one layer, "p" each, in the generator's order: layers "k"."""
    first, second = ordered_pairs(len(layers))
    is_within = layers[first] == layers[second]
    return first[is_within], second[is_within]


def advance_layers(
    positions: np.ndarray,
    velocities: np.ndarray,
    *,
    radius: float,
    pairs: Pairs,
    limit: float,
    substeps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move balls of equal radius and mass by one frame in a box [0, limit]^2 with elastic walls.

    positions, velocities: "n k 2", float64, in simulator units and units per frame.
    pairs: balls that bounce off each other (`pairs_within`), perhaps none.

    Returns the new positions and velocities "n k 2", and the number of contacts within the frame "n".
    """
    x, v = to_planes(positions), to_planes(velocities)  # 2 k n
    contacts = np.zeros(x.shape[-1], dtype=np.int64)
    h = 1.0 / substeps
    for _ in range(substeps):
        # 1. A component that would take a ball through a wall points away from it.
        ahead = x + h * v
        np.abs(v, out=v, where=ahead - radius < 0)
        np.copyto(v, -np.abs(v), where=ahead + radius > limit)
        # 2. Balls that would overlap exchange the components along the line between them.
        if len(pairs[0]):
            _collide(x + h * v, v, contacts, pairs, 2 * radius)
        # 3. Move.
        x += h * v
    return x.T, v.T, contacts


def _collide(ahead: np.ndarray, v: np.ndarray, contacts: np.ndarray, pairs: Pairs, reach: float) -> None:
    """Collide all pairs that overlap in the places `ahead`, pair by pair; update v and contacts in place.

    ahead, v: "2 k n".  contacts: "n".
    """
    first, second = pairs
    gap = ahead.take(first, axis=1) - ahead.take(second, axis=1)  # 2 p n
    gap *= gap
    touching = gap[0] + gap[1] < reach**2  # p n
    n = np.flatnonzero(touching.any(axis=0))
    touching = touching[:, n]  # p n', of the sequences that have a contact
    contacts[n] += touching.sum(axis=0)
    # Each round resolves one contact per sequence: the first that is left.
    while n.size:
        pair = touching.argmax(axis=0)  # n'
        i, j = first[pair], second[pair]
        w = ahead[:, i, n] - ahead[:, j, n]  # 2 n'
        w /= np.sqrt(dot(w, w))
        v_i, v_j = v[:, i, n], v[:, j, n]
        change = dot(w, v_j) - dot(w, v_i)  # n', of the speeds along w: those of equal masses are exchanged
        v[:, i, n] = v_i + w * change
        v[:, j, n] = v_j - w * change
        touching[pair, np.arange(n.size)] = False
        is_left = touching.any(axis=0)
        touching, n = touching[:, is_left], n[is_left]


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the dot products of vectors "2 n", to the last bit as BLAS rounds them.

    BLAS adds the second product to the first without rounding it (a fused multiply-add), and so do the
    published sets. Contacts enlarge every difference: if the second product is rounded as well, one of eight
    published sequences is off by 1e-9 after 99 frames.
    """
    return _fused_multiply_add(a[1], b[1], a[0] * b[0])


def _fused_multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return a b + c, rounded once, by the errors of product and sum (Dekker 1971, Knuth 1969)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    product_error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    of_c = total - product
    total_error = (product - (total - of_c)) + (c - of_c)
    return total + (product_error + total_error)


def _split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two numbers of at most 26 bits whose sum is a (Veltkamp 1968)."""
    scaled = (2.0**27 + 1) * a
    high = scaled - (scaled - a)
    return high, a - high
