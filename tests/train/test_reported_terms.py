"""Terms that exist on some frames only: the loss counts every frame, reported numbers count theirs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae.cli.export import defined_scores
from seqvae.data.sequences import Sequences
from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.objectives import ELBO, EnergyScore, LatentELBO
from seqvae.prediction import FramePrediction, PositionPrediction
from seqvae.sequence import SequenceModel
from seqvae.train.diagnostics import slot_statistics
from seqvae.train.encodings import EncodingBatch, track_slots
from seqvae.train.learner import Learner
from seqvae.train.optim import Optim
from seqvae.train.stages import TrainerOptions
from seqvae.train.validation import Validation
from seqvae.types import DataSpec, Dynamics, Encoding, FrameModel, Posterior, Scene, Terms, Transition
from tests.models import as_batch, make, video
from tests.train.tiny import Certain

START, CONTEXT, LENGTH = 3, 8, 16  # 14 frames enter, 6 of them with an ELBO and 8 with a prediction
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
EVIDENCE = -2 * HALF_LOG_2PI  # log N(x; x, 1), two numbers
PRIOR = -2 * (HALF_LOG_2PI + 0.5)  # log N(z; z - 1, 1)
POSTERIOR = 2 * (HALF_LOG_2PI + math.log(0.1))  # - log N(z; z, 0.1^2)
KL = -(PRIOR + POSTERIOR)


class Still(FrameModel, Dynamics):
    """One slot at the origin in every frame, seen with std 1; each density is known by hand."""

    def __init__(self):
        super().__init__()
        self.layout, self.slots = StateLayout((Field("position", 2, "product"),)), 1
        self.weight = torch.nn.Parameter(torch.zeros(()))  # something to train

    def encode(self, video):
        nothing = torch.zeros(*video.shape[:2], 1, 2)
        return Encoding(nothing, torch.ones_like(nothing))

    def terms(self, video, z, encoding, context):
        return {"log_likelihood": torch.full(video.shape[:2], -5.0) + self.weight}

    def decode(self, z, context=None):
        return Scene(z[:, :, 0, :1, None, None])

    def init(self, batch, like):
        return like.new_zeros(batch, 1, 2)

    def predict(self, carry, prev_action):
        prior = Normal(carry - 1 + self.weight, torch.ones_like(carry))
        return Transition(prior, prior)

    def update(self, carry, z, encoding):
        return carry


class Seen(Posterior):
    def init(self, batch, like):
        return like.new_zeros(batch)

    def __call__(self, encoding, transition, carry):
        return Certain(encoding.mean, torch.full_like(encoding.mean, 0.1)), encoding, carry


def model() -> SequenceModel:
    still = Still()
    return SequenceModel(still, Seen(), still, DataSpec(1, 1, 1))


def clips(observed: Tensor | None = None):
    nothing = torch.zeros(4, LENGTH, 1, 2)
    video = torch.zeros(4, LENGTH, 1, 1, 1)
    encoding = Encoding(nothing, torch.ones_like(nothing))
    return as_batch(encoding=encoding, video=video, observed=observed)


OBJECTIVE = LatentELBO(start=START, rollout=PositionPrediction(context=CONTEXT, weight=2.0, scale=1.0))
# a position predicted at (-1, -1) that is seen at the origin
PREDICTED = -(math.sqrt(2 + 1e-6) + math.log(2 * math.pi))


def test_the_log_tells_nats_a_frame_on_which_a_term_is_defined():
    numbers = Learner(model(), OBJECTIVE, Optim(lr=1e-3)).gradient(clips(), 0.0).numbers
    expected = {
        "bound": EVIDENCE + PRIOR + POSTERIOR, "evidence": EVIDENCE, "log_prior": PRIOR,
        "neg_log_posterior": POSTERIOR, "rollout": PREDICTED,
    }  # fmt: skip
    for name, value in expected.items():
        assert numbers[name].item() == pytest.approx(value, rel=1e-5), name
    # what is minimised counts all 14 frames
    loss = -(6 * (EVIDENCE + PRIOR + POSTERIOR) + 2.0 * 8 * PREDICTED) / 14
    assert numbers["loss"].item() == pytest.approx(loss, rel=1e-5)


def test_validation_tells_the_same_mean():
    drawn = make("linear", channels=3)
    images = (255 * video(frames=20, channels=3)).to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    sequences = Sequences("discs", images)
    options = TrainerOptions(steps=1, clip_length=LENGTH, validation_sequences=2)
    validation = Validation(sequences, OBJECTIVE, options, torch.device("cpu"), source="evidence")
    torch.manual_seed(1)
    scores = validation(drawn).scores
    torch.manual_seed(1)
    with torch.no_grad():
        encoding = track_slots(drawn, drawn.frame.encode(validation.batch.video))
        terms, _ = OBJECTIVE(drawn, EncodingBatch(encoding, None), 1.0)
    unweighted = sum(terms.values[name] for name in ("evidence", "log_prior", "neg_log_posterior"))
    assert (unweighted[:, 6:] == 0).all()
    assert scores["bound"] == pytest.approx(unweighted[:, :6].mean().item(), rel=1e-5)
    assert scores["objective"] == pytest.approx(terms.objective().mean().item(), rel=1e-5)


def test_the_kl_of_the_signs_is_that_of_the_frames_inferred():
    terms, trace = OBJECTIVE(model(), clips(), 0.0)
    layout = StateLayout((Field("position", 2, "product"),))
    assert slot_statistics(trace, terms, layout).kl == pytest.approx(KL, rel=1e-5)


@pytest.mark.parametrize("start", [1, START, CONTEXT + 3])
def test_decoded_rollouts_are_averaged_over_the_frames_predicted(start):
    objective = ELBO(start=start, beta=3.0, rollout=FramePrediction(context=CONTEXT, weight=0.5))
    terms, _ = objective(model(), clips(), 0.0)
    predicted = min(LENGTH - CONTEXT, LENGTH - start + 1)
    assert terms.per_frame("rollout").item() == pytest.approx(-5.0, rel=1e-5)
    assert terms.defined["rollout"].sum() == 4 * predicted
    assert terms.bound_per_frame().item() == pytest.approx(-5.0 - KL, rel=1e-5)
    assert terms.per_frame("kl_beside").item() == pytest.approx(-KL, rel=1e-5)
    share = predicted / (LENGTH - start + 1)
    assert terms.objective().mean().item() == pytest.approx(-5.0 - 3.0 * KL + 0.5 * share * -5.0, rel=1e-5)


def test_a_later_start_leaves_frames_out_and_pads_nothing():
    terms, _ = ELBO(start=START)(model(), clips(), 0.0)
    assert terms.bound_per_frame().item() == pytest.approx(-5.0 - KL, rel=1e-5)
    assert_close(terms.bound_per_frame(), terms.objective().mean())
    assert terms.objective().shape == (4, LENGTH - START + 1)


def missing(*frames: int) -> Tensor:
    observed = torch.ones(4, LENGTH, dtype=torch.bool)
    observed[:, [frame - 1 for frame in frames]] = False
    return observed


def test_missing_frames_are_in_no_mean():
    terms, _ = OBJECTIVE(model(), clips(missing(1, 4, 8, 9, 16)), 0.0)
    assert terms.per_frame("evidence").item() == pytest.approx(EVIDENCE, rel=1e-5)
    assert terms.per_frame("rollout").item() == pytest.approx(PREDICTED, rel=1e-5)
    assert terms.defined["evidence"].sum() == 4 * 4 and terms.defined["rollout"].sum() == 4 * 6
    # six priors and posteriors for the four frames that were observed
    assert terms.bound_per_frame().item() == pytest.approx(EVIDENCE + 6 / 4 * (PRIOR + POSTERIOR), rel=1e-5)


def test_what_follows_an_unseen_context_has_no_order_and_counts_nothing():
    observed = missing()
    observed[0, :CONTEXT] = False
    for objective in (OBJECTIVE, EnergyScore(context=CONTEXT, samples=2)):
        terms, _ = objective(model(), clips(observed), 0.0)
        (there,) = (terms.defined[name] for name in ("rollout", "energy_score") if name in terms.defined)
        value = next(terms.values[name] for name in ("rollout", "energy_score") if name in terms.values)
        assert not there[0].any() and (value[0] == 0).all()
        assert (there[1:].sum(1) == LENGTH - CONTEXT).all()


def test_the_energy_score_leaves_missing_frames_out():
    objective = EnergyScore(context=CONTEXT, samples=2)
    torch.manual_seed(1)
    whole, _ = objective(model(), clips(missing()), 0.0)
    torch.manual_seed(1)
    batch = clips(missing(8, 10))
    batch.encoding.mean[:, [7, 9]] = torch.nan
    terms, _ = objective(model(), batch, 0.0)
    expected = whole.values["energy_score"].clone()
    expected[:, 1] = 0
    assert_close(terms.values["energy_score"], expected)
    assert_close(terms.per_frame("energy_score"), expected.sum() / (4 * 7))


def test_a_clip_without_any_frame_has_no_bound():
    terms, _ = ELBO(start=1)(model(), clips(torch.zeros(4, LENGTH, dtype=torch.bool)), 0.0)
    assert terms.bound_per_frame().isnan() and terms.per_frame("log_likelihood").isnan()


def test_terms_that_all_have_weights_are_no_bound_and_no_line_of_a_card():
    terms = Terms({"score": torch.ones(2, 3)}, {"score": 1.0})
    assert terms.bound_per_frame().isnan() and terms.per_frame("score") == 1
    assert defined_scores({"objective": 1.0, "bound": terms.bound_per_frame().item()}) == {"objective": 1.0}
    assert "bound" not in defined_scores({"bound": 1.0}), "energies, or missing frames, make it none"


def test_an_elbo_that_begins_behind_its_context_is_refused():
    with pytest.raises(UserError, match="objective.start=9: the ELBO ends with the rollout's context, at"):
        LatentELBO(start=9, rollout=PositionPrediction(context=8))
