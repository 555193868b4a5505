"""Terms of SuPAIR against a direct evaluation, pixel by pixel."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torch.testing import assert_close

from seqvae.frames.supair import SuPAIR
from seqvae.nn.boxes import PursuitEncoder
from seqvae.nn.glimpse import read, uncovered_share
from tests.laws.common import F64, perturbed

HEIGHT, WIDTH, SLOTS = 12, 16, 3


def model(**options) -> SuPAIR:
    supair = SuPAIR(HEIGHT, WIDTH, 1, SLOTS, partial(PursuitEncoder), glimpse=5, **options)
    return perturbed(supair, 0.1).double()


def overlapping_boxes() -> Tensor:
    """Return z "k d" of one frame: two boxes that overlap, and one partly outside the picture."""
    size = [[0.4, 0.3], [0.3, 0.5], [0.35, 0.4]]
    position = [[0.1, 0.2], [0.3, 0.0], [-0.8, 0.9]]
    return torch.cat([torch.tensor(size), torch.tensor(position), torch.zeros(3, 2)], 1).double()


def share(point: float, low: float, high: float, pixel: float) -> float:
    """Return the share of a pixel around `point` that lies between `low` and `high`."""
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


def test_the_outermost_samples_lie_on_the_edge_of_the_box_on_request():
    supair, z = model(to_edge=True), overlapping_boxes()
    supair.slots = 1
    sx, sy, px, py = z[0, :4]  # wholly inside the picture
    image, steps = torch.rand(1, 1, HEIGHT, WIDTH, dtype=F64), torch.linspace(-1, 1, 5, dtype=F64)
    grid = torch.stack(torch.broadcast_tensors(px + sx * steps, (py + sy * steps)[:, None]), -1)[None]
    glimpse = grid_sample(image, grid, align_corners=False).flatten(1)
    expected = HEIGHT * WIDTH / 25 * sx * sy * supair.objects(glimpse, torch.ones_like(glimpse))[0]
    assert_close(supair.terms(image[None], z[None, None, :1], None, None)["objects"][0, 0], expected)

    look = supair.objects.expectation().reshape(1, 1, 5, 5)
    x, y = torch.tensor(centres(WIDTH), dtype=F64), torch.tensor(centres(HEIGHT), dtype=F64)[:, None]
    across, down = (x - px) / sx, (y - py) / sy
    grid = torch.stack(torch.broadcast_tensors(across, down), -1)[None]
    pasted = grid_sample(look, grid, align_corners=True)
    inside = ((x - px).abs() < sx - 1 / WIDTH) & ((y - py).abs() < sy - 1 / HEIGHT)
    shown = supair.decode(z[None, None, :1]).frames[0, 0, 0]
    assert inside.sum() > 10
    assert_close(shown[inside], pasted[0, 0][inside].clamp(0, 1))


def test_plain_networks_start_small_and_their_parameters_are_logits():
    torch.manual_seed(0)
    supair = SuPAIR(HEIGHT, WIDTH, 1, SLOTS, partial(PursuitEncoder), plain_spns=True).double()
    for spn in (supair.objects, supair.background):
        numbers = torch.cat([p.flatten() for p in spn.parameters()])
        assert numbers.abs().max() <= 0.2
        # N(0, 0.1^2) cut at two stds has a std of 0.08796; four standard errors of n numbers
        assert numbers.std().item() == pytest.approx(0.08796, rel=4 / math.sqrt(2 * len(numbers)))
    spn = supair.background
    share = spn.root.flatten().softmax(0).reshape_as(spn.root)
    expected = torch.zeros(HEIGHT * WIDTH, dtype=F64)
    for r, of_replica in enumerate(share):
        for of_leaf, pixels, mean in zip(
            (of_replica.sum(1), of_replica.sum(0)),
            spn.member[r, :, 0],
            spn.mean[r].expand(2, -1, -1),
            strict=True,
        ):
            expected = expected + of_leaf @ (mean * pixels)
    assert_close(spn.expectation(), expected)


def test_the_uncovered_share_is_one_minus_the_product_of_covers():
    down, across = torch.rand(2, 3, 4, dtype=F64), torch.rand(2, 3, 5, dtype=F64)
    down.requires_grad_(), across.requires_grad_()
    assert_close(uncovered_share(down, across), 1 - down[..., :, None] * across[..., None, :])
    assert torch.autograd.gradcheck(uncovered_share, (down, across))


def test_colours_count_as_their_clipped_sum():
    supair, z = model(), overlapping_boxes()[None, None]
    supair.channels = 3
    colour = torch.rand(1, 1, 3, HEIGHT, WIDTH, dtype=F64)
    grey = colour.sum(2, keepdim=True).clamp(max=1)
    assert_close(supair.terms(colour, z, None, None), supair.terms(grey, z, None, None))
