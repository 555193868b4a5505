"""The contract of objectives and of schedules."""

from __future__ import annotations

import math

import torch

from seqvae.contracts.models import FRAMES, missing_batch
from seqvae.contracts.scenes import as_batch, video
from seqvae.objectives import Objective
from seqvae.sequence import SequenceModel
from seqvae.types import Schedule


def the_states_of_an_objective_are_drawn(objective: Objective, model: SequenceModel) -> None:
    """Its terms are those of a sample of the posterior: with point estimates the entropy would be gone."""
    clip = video(frames=6)
    batch = as_batch(video=clip, encoding=model.frame.encode(clip))
    (terms, trace), (others, _) = (objective(model, batch, 0.5) for _ in range(2))
    assert trace.posterior is not None
    points = trace.posterior.point()
    for t in range(trace.z.shape[1]):
        assert not torch.equal(trace.z[:, t], points[:, t])
    assert not torch.equal(terms.objective(), others.objective())


def terms_are_nats_per_sequence_and_frame(objective: Objective, model: SequenceModel) -> None:
    """Each term is "b t" and finite, names of weights and of defined frames are names of terms."""
    clip = video(frames=6)
    terms, trace = objective(model, as_batch(video=clip, encoding=model.frame.encode(clip)), 0.5)
    length = next(iter(terms.values.values())).shape[1]
    for name, value in terms.values.items():
        assert value.shape == (2, length), f"{name}: expected (2, {length}), got {tuple(value.shape)}"
        assert value.isfinite().all(), name
    assert terms.weights.keys() <= terms.values.keys() and terms.defined.keys() <= terms.values.keys()
    assert trace.z.shape[0] == 2
    terms.objective().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(x.isfinite().all() for x in gradients)


def missing_frames_reach_no_term(objective: Objective, model: SequenceModel) -> None:
    """The frames that `batch.observed` marks as missing may hold any number."""
    model, clip, found = model.double(), video(frames=FRAMES, dtype=torch.float64), []
    for hidden in (None, torch.nan):
        torch.manual_seed(3)
        given = missing_batch(model, clip, False, hidden)
        encoded = missing_batch(model, clip, True, hidden)
        given.encoding = encoded.encoding
        found.append(objective(model, given, 0.5)[0].values)
    for name, value in found[0].items():
        assert value.isfinite().all() and torch.equal(value, found[1][name]), name


OBJECTIVE_CHECKS = {
    check.__name__: check
    for check in (
        the_states_of_an_objective_are_drawn,
        terms_are_nats_per_sequence_and_frame,
        missing_frames_reach_no_term,
    )
}


def a_schedule_is_a_pure_finite_factor(schedule: Schedule) -> None:
    """The same step and progress give the same finite factor, from the beginning to the end of a training."""
    points = [(step, progress / 10) for step in (0, 1, 10, 100_000) for progress in range(11)]
    factors = [schedule(*point) for point in points]
    assert factors == [schedule(*point) for point in reversed(points)][::-1]
    for point, factor in zip(points, factors, strict=True):
        assert isinstance(factor, (int, float)) and math.isfinite(factor), f"{point} -> {factor!r}"
