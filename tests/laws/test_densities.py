"""Log-densities against numerical integration and against torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, distributions
from torch.testing import assert_close

from seqvae.distributions import (
    CountedNormal,
    Normal,
    elementwise_kl,
    gaussian_log_density,
    product,
    stopping,
)
from seqvae.elbo import encoding_log_density, iwae
from seqvae.frames.monet import _kl, _mixture
from seqvae.layout import Field, StateLayout
from seqvae.nn.images import STD_FLOOR, Bernoulli, Gaussian
from seqvae.prediction import PositionPrediction
from seqvae.types import Carry, Encoding, Trace
from tests.laws.common import F64, WITH_LATENT, normal
from tests.models import make


def reference(q: Normal) -> distributions.Independent:
    return distributions.Independent(distributions.Normal(q.mean, q.std), 2)


def test_the_normal_density_sums_over_slots_and_numbers():
    q, z = normal(5, 3, 4), torch.randn(5, 3, 4, dtype=F64)
    assert_close(q.log_prob(z), reference(q).log_prob(z))
    one = distributions.Normal(q.mean, q.std).log_prob(z)
    assert_close(gaussian_log_density(z, q.mean, q.std), one)


def test_a_normal_draws_from_its_density_with_a_pathwise_gradient():
    mean, std = torch.tensor([[0.3, -2.0]], dtype=F64), torch.tensor([[0.1, 3.0]], dtype=F64)
    mean.requires_grad_(), std.requires_grad_()
    n = 20_000
    z = Normal(mean.expand(n, 1, 2), std.expand(n, 1, 2)).rsample()
    assert ((z.mean(0) - mean).abs() < 4 * std / n**0.5).all()
    assert ((z.std(0) / std - 1).abs() < 4 / (2 * n) ** 0.5).all()
    by_mean, by_std = torch.autograd.grad(z.sum(), (mean, std))
    assert_close(by_mean, torch.full_like(mean, n))
    assert_close(by_std, ((z - mean) / std).sum(0))


def test_the_kl_goes_from_the_first_to_the_second():
    q, p = normal(5, 3, 4), normal(5, 3, 4)
    expected = distributions.kl_divergence(
        distributions.Normal(q.mean, q.std), distributions.Normal(p.mean, p.std)
    )
    assert_close(elementwise_kl(q, p), expected)
    assert_close(q.kl(p), expected.sum((-2, -1)))
    assert not torch.allclose(q.kl(p), p.kl(q), rtol=0.01)


def test_the_product_weighs_by_precision():
    prior, mean, precision = normal(5, 3, 4), torch.randn(5, 3, 4, dtype=F64), torch.rand(5, 3, 4, dtype=F64)
    q, weight = product(mean, precision, prior), prior.std.pow(-2)
    assert_close(q.std.pow(-2), precision + weight)
    assert_close(q.mean, (precision * mean + weight * prior.mean) / (precision + weight))


def test_a_counted_density_is_the_count_and_the_slots_that_are_present():
    inner = normal(4, 3, 2)
    q = CountedNormal(stopping(torch.randn(4, 3, dtype=F64)), inner)
    z = torch.randn(4, 3, 3, dtype=F64)
    z[..., 0] = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]])
    slots = distributions.Normal(inner.mean, inner.std).log_prob(z[..., 1:]).sum(-1)
    expected = torch.stack(
        [
            q.log_counts[0, 2] + slots[0, :2].sum(),
            q.log_counts[1, 0],
            q.log_counts[2, 3] + slots[2].sum(),
            q.log_counts[3, 1] + slots[3, 0],
        ]
    )
    assert_close(q.log_prob(z), expected)


@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_the_rollout_scores_by_a_laplace_density_in_the_plane(scale):
    rollout = PositionPrediction(scale=scale)
    # softened at a distance of 1e-3, which costs (1 + s) exp(-s) of the mass, s = 1e-3 / scale
    lost = 1e-3 / scale
    steps = (torch.arange(1600, dtype=F64) + 0.5) / 800 - 1  # centres of cells, in units of 20 scales
    plane = 20 * scale * torch.cartesian_prod(steps, steps)
    middle = torch.tensor([0.4, -0.3], dtype=F64)
    density = rollout.log_density((middle + plane)[None, :, None], middle.expand(1, len(plane), 1, 2)).exp()
    mass = density.sum() * (20 * scale / 800) ** 2
    # a cell is a fortieth of the scale; the midpoint rule errs by its square at the peak
    assert mass.item() == pytest.approx((1 + lost) * math.exp(-lost), abs=1e-3)


def test_the_rollout_sums_over_slots_and_falls_by_a_nat_per_scale():
    rollout = PositionPrediction(scale=0.1)
    observed = torch.zeros(1, 1, 2, 2, dtype=F64)
    predicted = torch.tensor([[[[3.0, 4.0], [0.6, -0.8]]]], dtype=F64)  # at distances 5 and 1
    expected = -(5 + 1) / 0.1 - 2 * math.log(2 * math.pi * 0.1**2)
    assert rollout.log_density(observed, predicted).item() == pytest.approx(expected, abs=1e-4)


def test_the_rollout_is_wider_where_what_was_observed_is_less_certain():
    """The density of an observation with a std is that of a rollout with the sum as its scale."""
    observed, predicted = torch.zeros(1, 1, 2, 2, dtype=F64), torch.rand(1, 1, 2, 2, dtype=F64)
    std = torch.tensor([[[0.05, 0.3]]], dtype=F64)
    alone = [
        PositionPrediction(scale=scale).log_density(observed[:, :, k : k + 1], predicted[:, :, k : k + 1])
        for k, scale in enumerate((0.15, 0.4))
    ]
    assert_close(PositionPrediction(scale=0.1).log_density(observed, predicted, std), alone[0] + alone[1])


def test_the_density_of_encoding_is_that_of_the_fields_that_a_frame_shows():
    z = torch.randn(2, 4, 3, WITH_LATENT.dim, dtype=F64)
    mean, precision = torch.randn_like(z), 0.1 + 20 * torch.rand_like(z)
    precision[0, 1], precision[1, 2, 0] = 0, 0  # a frame, and a slot of another, not observed
    encoding = Encoding(mean, precision)
    prior = Normal(z, torch.ones_like(z))
    trace = Trace(z, prior, prior, encoding, None, Carry(None, None))
    elementwise = distributions.Normal(z, torch.where(precision > 0, precision, 1.0).rsqrt()).log_prob(mean)
    shown = torch.where(precision > 0, elementwise, 0.0)[..., :4]  # size and position, no velocity, no latent
    assert_close(encoding_log_density(WITH_LATENT, trace), shown.sum((-2, -1)))


def test_the_density_of_encoding_integrates_to_one():
    layout = StateLayout((Field("position", 1, "product"),))
    grid = torch.linspace(-12, 12, 20001, dtype=F64)[:, None, None, None]
    z, precision = torch.full_like(grid, 0.7), torch.full_like(grid, 6.0)
    trace = Trace(z, Normal(z, z), None, Encoding(grid, precision), None, Carry(None, None))
    density = encoding_log_density(layout, trace).exp()
    assert_close(torch.trapezoid(density[:, 0], grid[:, 0, 0, 0]).item(), 1.0)


def test_importance_weights_are_averaged_in_probability():
    log_weights = torch.randn(7, 3, dtype=F64)
    assert_close(iwae(log_weights), log_weights.exp().mean(0).log())


def log_masks(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64).log_softmax(2)


def test_a_mixture_of_slots_is_that_of_torch():
    weights = log_masks(2, 3, 4, 5, 6)
    mean, std = torch.randn(2, 3, 4, 5, 6, dtype=F64), 0.1 + torch.rand(2, 3, 4, 5, 6, dtype=F64)
    image = torch.randn(2, 3, 5, 6, dtype=F64)
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(logits=weights.movedim(2, -1)),
        distributions.Normal(mean.movedim(2, -1), std.movedim(2, -1)),
    )
    density = gaussian_log_density(image[:, :, None], mean, std)
    assert_close(_mixture(weights, density), mixture.log_prob(image).sum((-2, -1)))


def test_the_kl_of_masks_goes_from_the_first_to_the_second():
    p, q = log_masks(2, 3, 4, 5, 6), log_masks(2, 3, 4, 5, 6)
    expected = distributions.kl_divergence(
        distributions.Categorical(logits=p.movedim(2, -1)), distributions.Categorical(logits=q.movedim(2, -1))
    ).sum((-2, -1))
    assert_close(_kl(p, q), expected)
    assert not torch.allclose(_kl(p, q), _kl(q, p), rtol=0.01)


def test_likelihoods_of_pixels_are_those_of_torch():
    x, raw = torch.rand(3, 2, 4, 5, dtype=F64), torch.randn(3, 2, 4, 5, dtype=F64)
    ink = distributions.Bernoulli(logits=raw).log_prob((x > 0.3).to(F64)).sum((-3, -2, -1))
    assert_close(Bernoulli(0.3).log_prob(x, raw), ink)
    gaussian, bounded = Gaussian(0.2, bounded=False).double(), Gaussian(0.2).double()
    std = torch.tensor(0.2).log().double().exp() + STD_FLOOR  # the parameter starts in float32
    for model, mean in ((gaussian, raw), (bounded, raw.sigmoid())):
        assert_close(model.log_prob(x, raw), distributions.Normal(mean, std).log_prob(x).sum((-3, -2, -1)))
        assert_close(model.mean(raw), mean)


@pytest.mark.parametrize("name", ["air", "spatial_vae"])
def test_frames_are_normal_around_the_canvas(name):
    model = make(name, dtype=F64, height=12, width=10)
    z, x = 0.3 * torch.randn(2, 3, 3, model.layout.dim, dtype=F64), torch.rand(2, 3, 1, 12, 10, dtype=F64)
    if name == "air":
        z[..., 0] = 1
        canvas = model.frame._lights(z).sum(2)  # the light adds up, also above 1
    else:
        canvas = model.frame.decode(z).frames
    expected = distributions.Normal(canvas, model.frame.log_std.exp() + 1e-3).log_prob(x).sum((-3, -2, -1))
    assert_close(model.frame.terms(x, z, None, None)["log_likelihood"], expected)


def test_monet_is_a_mixture_of_its_own_colours_and_stds():
    model = make("monet", slots=2, dtype=F64, height=8, width=6)
    x = torch.rand(2, 3, 1, 8, 6, dtype=F64)
    encoding = model.frame.encode(x)
    z = encoding.mean
    colours, logits = model.frame.component.decode(z.flatten(0, 1))
    colours, decoded = (v.unflatten(0, (2, 3)) for v in (colours, logits.log_softmax(1)))
    log_attention = encoding.features["log_masks"]
    std = torch.tensor([0.09, 0.11, 0.11], dtype=F64)[:, None, None, None]  # background, then objects
    pixel = distributions.Normal(colours.expand(-1, -1, -1, -1, 8, 6), std).log_prob(x[:, :, None]).sum(3)
    terms = model.frame.terms(x, z, encoding, None)
    tolerance = {"rtol": 1e-6, "atol": 1e-6}  # the stds are kept in float32
    assert_close(terms["log_likelihood"], (log_attention + pixel).logsumexp(2).sum((-2, -1)), **tolerance)
    kl = (log_attention.exp() * (log_attention - decoded)).sum((-3, -2, -1))
    assert_close(terms["decoder_masks"], -kl)
    assert_close(terms["attention_masks"], -kl)
    imagined = model.frame.terms(x, z, None, None)["log_likelihood"]
    assert_close(imagined, (decoded + pixel).logsumexp(2).sum((-2, -1)), **tolerance)
