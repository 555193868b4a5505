"""The contracts, on what the plugins of `--plugins` register."""

from __future__ import annotations

import pytest

from data_gen import contracts as of_worlds
from data_gen.simulator import Emulator, build_simulator
from seqvae.config import instantiate
from seqvae.contracts import models
from seqvae.contracts.objectives import OBJECTIVE_CHECKS, a_schedule_is_a_pure_finite_factor
from seqvae.contracts.scenes import as_batch, video
from seqvae.contracts.subjects import Subject, first_fit
from seqvae.objectives import Objective
from seqvae.types import Schedule


@pytest.mark.parametrize("check", models.CHECKS)
def test_model(subject: Subject | Exception, check: str) -> None:
    if isinstance(subject, Exception):
        pytest.fail(str(subject), pytrace=False)
    models.CHECKS[check](subject.make)


@pytest.mark.parametrize("check", OBJECTIVE_CHECKS)
def test_objective(objective: str, check: str) -> None:
    made = instantiate({"_target_": objective}, "objective", Objective)
    clip = video(frames=6)
    model = first_fit(lambda m: made(m, as_batch(video=clip, encoding=m.frame.encode(clip)), 0.5))
    OBJECTIVE_CHECKS[check](made, model)


def test_schedule(schedule: str) -> None:
    a_schedule_is_a_pure_finite_factor(instantiate({"_target_": schedule}, "schedule", Schedule))


@pytest.mark.parametrize("check", of_worlds.CHECKS)
def test_world(world: str, check: str) -> None:
    simulator = build_simulator({"_target_": world})
    if isinstance(simulator, Emulator) and check not in of_worlds.EMULATOR_CHECKS:
        pytest.skip("emulators record whole sequences")
    of_worlds.CHECKS[check](simulator)
