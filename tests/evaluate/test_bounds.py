"""ELBO and IWAE in nats per frame, against a likelihood in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqvae.data.sequences import Sequences
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.evaluate import bound, bounds, reported
from seqvae.layout import Field, StateLayout
from seqvae.posteriors.fused import Fused
from seqvae.sequence import SequenceModel
from seqvae.types import DataSpec, Dynamics, Encoding, FrameModel, Scene, Transition

NOISE = 0.5


class Pixel(FrameModel, Dynamics):
    """p(x_t | z_t) = N(z_t, NOISE^2) of one pixel; z_t is independent over time, N(0, 1)."""

    def __init__(self, precision: float, unnormalised=frozenset()):
        super().__init__()
        self.layout, self.slots = StateLayout((Field("position", 1, "product"),)), 1
        self.precision, self.unnormalised = precision, unnormalised

    def encode(self, video):
        mean = video.flatten(2)[..., None]
        return Encoding(mean, torch.full_like(mean, self.precision))

    def terms(self, video, z, encoding, context):
        return {"log_likelihood": Normal(z, torch.full_like(z, NOISE)).log_prob(video.flatten(2)[..., None])}

    def decode(self, z, context=None):
        return Scene(z[..., None, None].squeeze(2))

    def init(self, batch, like):
        return like.new_zeros(batch, 1, 1)

    def predict(self, carry, prev_action):
        prior = Normal(carry, torch.ones_like(carry))
        return Transition(prior, prior)

    def update(self, carry, z, encoding):
        return carry


def model(precision: float, **options) -> SequenceModel:
    """Its posterior is exact when `precision` is 1 / NOISE^2."""
    frame = Pixel(precision, **options)
    return SequenceModel(frame, Fused(frame.layout), frame, DataSpec(1, 1, 1))


@pytest.fixture
def data(rng):
    return Sequences("pixels", rng.integers(0, 256, (40, 5, 1, 1, 1)).astype(np.uint8))


def exact(data, first):
    """Return log p(x_first:5) of each sequence, nats per frame."""
    x = data.frames.reshape(40, 5)[:, first - 1 :] / 255
    variance = 1 + NOISE**2
    return (-0.5 * (x**2 / variance + np.log(2 * np.pi * variance))).mean(1)


@pytest.mark.parametrize("first", [1, 3])
def test_with_the_exact_posterior_both_are_the_likelihood(data, first):
    result = bound(model(1 / NOISE**2), data, samples=3, first=first)
    truth = exact(data, first)
    for value in (result.elbo, result.iwae):
        assert value.mean == pytest.approx(truth.mean(), abs=1e-6) and value.n == 40
        assert value.se == pytest.approx(truth.std(ddof=1) / np.sqrt(40), rel=1e-4)
    assert (result.first, result.last, result.samples) == (first, 5, 3)


def test_otherwise_iwae_lies_between_elbo_and_likelihood(data):
    """Gaps in closed form: E_q log p/q = log p(x) - KL, over 5 frames; IWAE-200 closes most of the gap."""
    wide = 1 / (1 + 0.5)  # the variance of a posterior with encoding of precision 0.5; the exact one is 1 / 5
    x = data.frames.reshape(40, 5) / 255
    mean, right = x * 0.5 * wide, x * 0.8
    kl = 0.5 * (wide * 5 + 5 * (mean - right) ** 2 - 1 - np.log(wide * 5))
    result = bound(model(0.5), data, samples=200, first=1)
    expected = exact(data, 1).mean() - kl.mean()
    draws = 0.5 * np.sqrt(2 * (wide * 5 - 1) ** 2) / np.sqrt(40 * 5 * 200)  # std of a weight, to first order
    assert result.elbo.mean == pytest.approx(expected, abs=6 * draws)
    assert result.elbo.mean + 0.1 < result.iwae.mean < exact(data, 1).mean()


def test_iwae_of_one_sample_is_the_elbo(data):
    result = bound(model(0.5), data, samples=1)
    assert result.iwae == result.elbo


def test_weights_are_summed_over_a_sequence_before_the_mean(data):
    """Taking the mean frame by frame would be tighter than the bound is for whole sequences."""
    frame_by_frame = Sequences("frames", data.frames.reshape(200, 1, 1, 1, 1))
    whole = bound(model(0.5), data, samples=10, first=1).iwae
    single = bound(model(0.5), frame_by_frame, samples=10, first=1).iwae
    assert whole.mean + 2 * whole.se / 10 < single.mean


def test_an_energy_has_no_bound(data):
    result = bound(model(0.5, unnormalised=frozenset({"log_likelihood"})), data)
    assert result.elbo is None and result.iwae is None and result.unnormalised == ("log_likelihood",)
    assert result.samples == 1 and np.isfinite(result.objective.mean)


def test_only_the_first_frames_count_when_asked(data):
    short = Sequences("short", data.frames[:, :4])
    a = bound(model(1 / NOISE**2), data, samples=1, length=4).elbo  # of whole sequences by default
    assert a.mean == pytest.approx(bound(model(1 / NOISE**2), short, samples=1).elbo.mean, abs=1e-6)


def test_the_default_is_the_whole_sequence(data):
    result = bound(model(1 / NOISE**2), data, samples=1)
    assert result.first == 1 and result.whole
    assert result.elbo.mean == pytest.approx(exact(data, 1).mean(), abs=1e-6)


def test_an_evaluation_reports_whole_sequences_and_later_frames_from_the_same_draws(data):
    drawn = model(0.5)
    assert reported(drawn) == (1, 3)
    torch.manual_seed(1)
    whole, later = bounds(drawn, data, samples=4, firsts=reported(drawn))
    assert (whole.first, later.first, whole.whole, later.whole) == (1, 3, True, False)
    torch.manual_seed(1)
    assert bound(drawn, data, samples=4, first=3).iwae == later.iwae
    images = Sequences("images", data.frames[:, :1])
    assert [x.first for x in bounds(drawn, images, samples=1)] == [1]


def test_an_energy_is_reported_from_the_frame_on_where_the_objective_begins(data):
    energy = model(0.5, unnormalised=frozenset({"log_likelihood"}))
    (result,) = bounds(energy, data, firsts=reported(energy))
    assert result.first == 3 and result.elbo is None


@pytest.mark.parametrize("first", [1, 3])
def test_missing_frames_leave_the_likelihood_of_the_others(data, rng, first):
    """Frames are independent here, so that of the others is a sum over them."""
    observed = rng.random((40, 5)) < 0.6
    observed[:, 4] = True
    x, variance = data.frames.reshape(40, 5) / 255, 1 + NOISE**2
    by_frame = -0.5 * (x**2 / variance + np.log(2 * np.pi * variance))
    kept = observed[:, first - 1 :]
    truth = (by_frame[:, first - 1 :] * kept).sum(1) / kept.sum(1)
    result = bound(model(1 / NOISE**2), data, samples=3, first=first, observed=observed)
    np.testing.assert_allclose(result.by_sequence, truth, atol=1e-5)
    assert result.elbo.mean == pytest.approx(truth.mean(), abs=1e-5)


def test_a_sequence_of_which_nothing_was_observed_is_refused(data):
    observed = np.ones((40, 5), dtype=bool)
    observed[7, 2:] = False
    with pytest.raises(UserError, match="pixels: no frame from 3 on was observed in sequence 7"):
        bound(model(0.5), data, first=3, observed=observed)
