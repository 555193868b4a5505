"""VAEs against likelihoods in closed form."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.build import DataSpec, build
from seqvae.errors import UserError
from seqvae.nn.images import Bernoulli, BroadcastDecoder, ConvDecoder, ConvEncoder, Gaussian
from seqvae.objectives import ELBO
from seqvae.prediction import FramePrediction
from seqvae.sequence import SequenceModel
from tests.laws.common import F64, as_batch
from tests.models import config, make, video

PIXELS, CODE = 8, 2


def linear_vae() -> SequenceModel:
    """Return a VAE with a linear decoder, whose model is probabilistic PCA."""
    chosen = copy.deepcopy(config("vae_fc"))
    chosen["frame"]["code"] = CODE
    for part in ("encoder", "decoder"):
        chosen["frame"][part]["hidden"] = []
    chosen["frame"]["likelihood"] = {
        "_target_": "seqvae.nn.images.Gaussian", "std": 0.5, "learn": True, "bounded": False,
    }  # fmt: skip
    return build(chosen, DataSpec(1, PIXELS, 1)).double()


def maximum_likelihood(x: Tensor) -> float:
    """Return the maximum of log p(x) of probabilistic PCA, nats per sample (Tipping & Bishop 1999, eq. 8)."""
    spectrum = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = spectrum[CODE:].mean()
    logs = spectrum[:CODE].log().sum() + (PIXELS - CODE) * noise.log()
    return (-0.5 * (PIXELS * math.log(2 * math.pi) + logs + PIXELS)).item()


def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca():
    directions = torch.linalg.qr(torch.randn(PIXELS, CODE, dtype=F64)).Q * torch.tensor([1.5, 0.8], dtype=F64)
    x = 0.4 + torch.randn(200, CODE, dtype=F64) @ directions.T + 0.3 * torch.randn(200, PIXELS, dtype=F64)
    model, clip = linear_vae(), as_batch(video=x.reshape(200, 1, 1, 1, PIXELS))
    objective, steps = ELBO(), 400
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        (-objective(model, clip, 0.0)[0].objective().mean()).backward()
        optimiser.step()
        decay.step()
    with torch.no_grad():
        draws = torch.stack([objective(model, clip, 1.0)[0].objective().mean() for _ in range(100)])
    exact, error = maximum_likelihood(x), 4 * draws.std() / 10
    assert exact - 0.1 < draws.mean() - error and draws.mean() - error < exact


def test_beta_weights_the_kl_and_keeps_the_bound():
    model, clip = make("vae"), as_batch(video=video())
    plain, weighted = (_seeded(ELBO(beta=beta), model, clip) for beta in (1.0, 4.0))
    kl = -(plain.values["log_prior"] + plain.values["neg_log_posterior"])
    assert_close(weighted.objective(), plain.values["log_likelihood"] - 4 * kl)
    assert torch.equal(weighted.bound(), plain.objective())
    assert torch.equal(plain.bound(), plain.objective())


def test_the_term_of_a_rollout_stands_beside_the_bound():
    model, clip = make("vrnn"), as_batch(video=video(frames=6))
    plain = _seeded(ELBO(), model, clip)
    terms = _seeded(ELBO(rollout=FramePrediction(context=4, weight=0.5)), model, clip)
    assert_close(terms.bound(), plain.objective())
    assert_close(terms.objective(), plain.objective() + 0.5 * terms.values["rollout"])
    assert (terms.values["rollout"][:, :4] == 0).all() and (terms.values["rollout"][:, 4:] != 0).all()


def _seeded(objective: ELBO, model: SequenceModel, clip: SimpleNamespace):
    torch.manual_seed(1)
    return objective(model, clip, 0.0)[0]


def test_a_vae_has_one_slot():
    with pytest.raises(UserError, match="slots: 1"):
        build(config("vae") | {"slots": 3}, DataSpec(32, 32, 1))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (7, 50), (3, 3), (64, 48)])
def test_networks_of_images_take_any_size(height, width):
    code = ConvEncoder(height, width, 2, 5)(torch.rand(3, 2, height, width))
    assert code.shape == (3, 5)
    for decoder in (ConvDecoder, BroadcastDecoder):
        assert decoder(height, width, 2, 5)(code).shape == (3, 2, height, width)
    assert BroadcastDecoder(height, width, 2, 5, stride=2)(code).shape == (3, 2, height, width)


def test_likelihoods_are_normalised():
    ink = torch.tensor([0.0, 1.0], dtype=F64).reshape(2, 1, 1, 1)
    assert_close(Bernoulli().log_prob(ink, torch.full_like(ink, 0.7)).exp().sum().item(), 1.0)
    grid = torch.linspace(-3, 4, 20001, dtype=F64)
    pixel = grid.reshape(-1, 1, 1, 1)
    density = Gaussian(0.2).double().log_prob(pixel, torch.full_like(pixel, 0.7)).exp()
    area = torch.trapezoid(density, grid)
    assert_close(area.item(), 1.0, rtol=0, atol=1e-6)
    # a cross-entropy with grey pixels is no density, and declares it
    assert Bernoulli().normalised and not Bernoulli(threshold=None).normalised


@pytest.mark.parametrize("part", ["frame", "posterior"])
def test_a_context_that_the_dynamics_does_not_give_is_refused(part):
    chosen = config("vrnn")
    chosen[part]["context"] = 99
    with pytest.raises(UserError, match=f"model.{part}.context=99: the dynamics gives a context of 256"):
        build(chosen, DataSpec(32, 32, 1))
