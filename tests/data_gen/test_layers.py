"""Motion of balls in layers: against a loop spelled out, and against the generator that published it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from data_gen.physics.layers import _fused_multiply_add, advance_layers, dot, pairs_within

LIMIT, SUBSTEPS = 64.0, 10
NO_PAIRS = np.array([], dtype=int), np.array([], dtype=int)


def scalar_layers(x, v, layers, radius, collide=True):
    """One frame of one sequence, ball by ball as the paper's generator goes; lists in place; its contacts."""
    contacts, h = 0, 1 / SUBSTEPS
    for _ in range(SUBSTEPS):
        for i in range(len(x)):
            for axis in range(2):
                ahead = x[i][axis] + h * v[i][axis]
                if ahead - radius < 0:
                    v[i][axis] = abs(v[i][axis])
                if ahead + radius > LIMIT:
                    v[i][axis] = -abs(v[i][axis])
        ahead = [[x[i][axis] + h * v[i][axis] for axis in range(2)] for i in range(len(x))]
        for i in range(len(x) if collide else 0):
            for j in range(i):
                gap = [ahead[i][axis] - ahead[j][axis] for axis in range(2)]
                distance = (gap[0] ** 2 + gap[1] ** 2) ** 0.5
                if layers[i] != layers[j] or gap[0] ** 2 + gap[1] ** 2 >= (2 * radius) ** 2:
                    continue
                w = [g / distance for g in gap]
                along = [sum(w[axis] * v[k][axis] for axis in range(2)) for k in (i, j)]
                for axis in range(2):
                    v[i][axis] += w[axis] * (along[1] - along[0])
                    v[j][axis] += w[axis] * (along[0] - along[1])
                contacts += 1
        for i in range(len(x)):
            for axis in range(2):
                x[i][axis] += h * v[i][axis]
    return contacts


@pytest.mark.parametrize("layers", [(0,), (0, 0, 0), (0, 0, 1, 1), (0,) * 5 + (1,) * 6], ids=len)
@pytest.mark.parametrize("collide", [True, False])
def test_layers_equal_the_scalar_loop(rng, layers, collide):
    """Also where balls begin in each other and in the walls, so that contacts of every kind occur at once."""
    n, k, radius = 20, len(layers), 5.0
    x, v = rng.uniform(radius - 1, LIMIT - radius + 1, (n, k, 2)), rng.normal(0, 3, (n, k, 2))
    pairs = pairs_within(np.array(layers)) if collide else NO_PAIRS
    total = 0
    for _ in range(3):
        expected, counts = [], []
        for x_n, v_n in zip(x.tolist(), v.tolist(), strict=True):
            counts.append(scalar_layers(x_n, v_n, layers, radius, collide))
            expected.append((x_n, v_n))
        x, v, contacts = advance_layers(x, v, radius=radius, pairs=pairs, limit=LIMIT, substeps=SUBSTEPS)
        np.testing.assert_array_equal(contacts, counts)
        np.testing.assert_allclose(x, [e[0] for e in expected], atol=1e-10, rtol=0)
        np.testing.assert_allclose(v, [e[1] for e in expected], atol=1e-10, rtol=0)
        total += contacts.sum()
    assert (total > 20) == (collide and k > 1)


@pytest.mark.parametrize("name, collide", [("gswm_interaction", True), ("gswm_occlusion", False)])
def test_layers_reproduce_the_reference(reference, name, collide):
    """To the last bit, over all 99 frames, although contacts enlarge every difference."""
    with np.load(reference / f"{name}.npz") as data:
        positions, velocities, radius = data["positions"], data["velocities"], float(data["sizes"][0, 0, 0])
    pairs = pairs_within(np.zeros(3, int)) if collide else NO_PAIRS
    x, v, total = positions[:, 0], velocities[:, 0], 0
    for t in range(1, positions.shape[1]):
        x, v, contacts = advance_layers(x, v, radius=radius, pairs=pairs, limit=LIMIT, substeps=SUBSTEPS)
        np.testing.assert_array_equal(x, positions[:, t])
        np.testing.assert_array_equal(v, velocities[:, t])
        total += contacts.sum()
    assert (total > 50) == collide


def test_products_are_added_with_one_rounding(rng):
    """Against rational numbers, for sums in which either part is the larger, or the two cancel."""
    a, b, c = rng.normal(size=(3, 3000))
    c *= 10.0 ** rng.uniform(-6, 6, 3000)
    c[::3] = -a[::3] * b[::3] * (1 + rng.uniform(-1e-12, 1e-12, 1000))
    exact = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)]
    np.testing.assert_array_equal(_fused_multiply_add(a, b, c), exact)
    assert (a * b + c != exact).sum() > 300  # what two roundings give
    u, v = rng.normal(size=(2, 2, 50))
    np.testing.assert_allclose(dot(u, v), (u * v).sum(0), rtol=1e-12, atol=1e-14)


def test_energy_is_kept_and_balls_stay_in_the_box(rng):
    layers = np.repeat([0, 1], 3)
    places = np.array([[12, 12], [32, 32], [52, 52], [12, 52], [32, 12], [52, 12]])
    x = places + rng.uniform(-2, 2, (30, 6, 2))
    v = rng.normal(0, 3, (30, 6, 2))
    energy = [(v[:, layers == layer] ** 2).sum((1, 2)) for layer in (0, 1)]
    total = 0
    for _ in range(200):
        x, v, contacts = advance_layers(
            x, v, radius=8.0, pairs=pairs_within(layers), limit=LIMIT, substeps=SUBSTEPS
        )
        # a contact after the look at the walls may push a ball into one, for a substep
        depth = np.sqrt(np.max(energy)) / SUBSTEPS
        assert (x >= 8 - depth).all() and (x <= LIMIT - 8 + depth).all()
        total += contacts.sum()
    assert total > 1000
    for layer in (0, 1):  # no energy passes from one layer to the other
        np.testing.assert_allclose((v[:, layers == layer] ** 2).sum((1, 2)), energy[layer], rtol=1e-11)


def test_balls_of_one_layer_exchange_their_speeds_and_others_pass():
    """Head on at equal speeds, from a distance of 20 at radius 8: they touch in the first frame."""
    x, v = np.array([[[22.0, 32.0], [42.0, 32.0]]]), np.array([[[3.0, 0.0], [-3.0, 0.0]]])
    for layers, expected, count in (([0, 0], -v, 1), ([0, 1], v, 0)):
        new_x, new_v, contacts = advance_layers(
            x, v, radius=8.0, pairs=pairs_within(np.array(layers)), limit=LIMIT, substeps=SUBSTEPS
        )
        np.testing.assert_allclose(new_v, expected, atol=1e-12)
        assert contacts.tolist() == [count]
        # they turn at the substep that would bring them nearer than 16: after 6 of 10 at 0.6 per substep
        middle = [[[22 + 0.6 * 3 - 0.4 * 3, 32], [42 - 0.6 * 3 + 0.4 * 3, 32]]]
        np.testing.assert_allclose(new_x, middle if count else x + v, atol=1e-12)


def test_contacts_of_a_substep_are_found_before_any_is_resolved():
    """Ball 2 hits ball 1, which touches ball 0: the speed passes on through both in the same substep."""
    x = np.array([[[16.0, 32.0], [31.99, 32.0], [48.2, 32.0]]])
    v = np.array([[[0.0, 0.0], [0.0, 0.0], [-3.0, 0.0]]])
    _, new_v, contacts = advance_layers(
        x, v, radius=8.0, pairs=pairs_within(np.zeros(3, int)), limit=LIMIT, substeps=1
    )
    # in order (1, 0): both at rest; (2, 1): ball 1 takes the speed. Found anew, (1, 0) would follow.
    np.testing.assert_allclose(new_v[0, :, 0], [0, -3, 0], atol=1e-12)
    assert contacts.tolist() == [2]
