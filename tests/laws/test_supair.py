"""SuPAIR's terms, against a direct evaluation pixel by pixel."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.frames.supair import SuPAIR
from seqvae.nn.encoders import PursuitEncoder
from seqvae.nn.glimpse import beside, read

F64 = torch.float64
HEIGHT, WIDTH, SLOTS = 12, 16, 3


def model(**options) -> SuPAIR:
    supair = SuPAIR(HEIGHT, WIDTH, 1, SLOTS, partial(PursuitEncoder), glimpse=5, **options)
    with torch.no_grad():
        for p in supair.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return supair.double()


def overlapping_boxes() -> Tensor:
    """One frame's z (k d): two boxes that overlap, and one partly outside the picture."""
    size = [[0.4, 0.3], [0.3, 0.5], [0.35, 0.4]]
    position = [[0.1, 0.2], [0.3, 0.0], [-0.8, 0.9]]
    return torch.cat([torch.tensor(size), torch.tensor(position), torch.zeros(3, 2)], 1).double()


def share(point: float, low: float, high: float, pixel: float) -> float:
    """The part of a pixel around `point` between `low` and `high`."""
    return max(0.0, min(high, point + pixel / 2) - max(low, point - pixel / 2)) / pixel


def covered(x: float, y: float, box: Tensor) -> float:
    sx, sy, px, py = box[:4].tolist()
    return share(x, px - sx, px + sx, 2 / WIDTH) * share(y, py - sy, py + sy, 2 / HEIGHT)


def centres(n: int) -> list[float]:
    return [(2 * i + 1) / n - 1 for i in range(n)]


@pytest.mark.parametrize(("area", "per_area"), [("pixels", HEIGHT * WIDTH / 25), ("image", 1.0)])
def test_terms_agree_with_a_direct_evaluation(area, per_area):
    supair, z, image = model(area=area), overlapping_boxes(), torch.rand(HEIGHT, WIDTH, dtype=F64)
    objects = overlap = 0.0
    for k, box in enumerate(z):
        sx, sy, px, py = box[:4].tolist()
        visible = torch.zeros(5, 5, dtype=F64)
        for i, v in enumerate(centres(5)):
            for j, u in enumerate(centres(5)):
                x, y = px + u * sx, py + v * sy
                visible[i, j] = share(x, -1, 1, 2 / WIDTH) * share(y, -1, 1, 2 / HEIGHT)
                for earlier in z[:k]:
                    visible[i, j] *= 1 - covered(x, y, earlier)
        glimpse = read(image[None, None], box[None, None, 2:4], box[None, None, :2], 5)
        log_p = supair.objects(glimpse.reshape(1, -1), visible.reshape(1, -1))[0]
        objects = objects + per_area * sx * sy * log_p
        overlap = overlap + math.log(10) - 10 * (1 - visible.mean())
    free = torch.ones(HEIGHT, WIDTH, dtype=F64)
    for i, y in enumerate(centres(HEIGHT)):
        for j, x in enumerate(centres(WIDTH)):
            for box in z:
                free[i, j] *= 1 - covered(x, y, box)
    background = supair.background(image.reshape(1, -1), free.reshape(1, -1))[0]

    terms = supair.terms(image[None, None, None], z[None, None], None, None)
    expected = {"objects": objects, "background": background, "overlap": overlap}
    for name, value in expected.items():
        assert_close(terms[name][0, 0], value, rtol=1e-10, atol=1e-10)


def test_beside_is_one_minus_the_product_of_covers():
    down, across = torch.rand(2, 3, 4, dtype=F64), torch.rand(2, 3, 5, dtype=F64)
    down.requires_grad_(), across.requires_grad_()
    assert_close(beside(down, across), 1 - down[..., :, None] * across[..., None, :])
    assert torch.autograd.gradcheck(beside, (down, across))


def test_colours_count_as_their_clipped_sum():
    supair, z = model(), overlapping_boxes()[None, None]
    supair.channels = 3
    colour = torch.rand(1, 1, 3, HEIGHT, WIDTH, dtype=F64)
    grey = colour.sum(2, keepdim=True).clamp(max=1)
    assert_close(supair.terms(colour, z, None, None), supair.terms(grey, z, None, None))
