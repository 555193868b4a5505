"""Tests that every configs/sim/*.yaml passes, apart from emulators, which have theirs in test_atari.py."""

from __future__ import annotations

import dataclasses

import pytest

from data_gen.cli.command import CONFIGS
from data_gen.contracts import CHECKS, shapes_and_types
from data_gen.generate import read_settings
from data_gen.simulator import build_simulator

EMULATORS = {"atari", "pong"}
NAMES = sorted({file.stem for file in (CONFIGS / "sim").glob("*.yaml")} - EMULATORS)


@pytest.fixture(params=NAMES)
def settings(request):
    if request.param.startswith("digits"):
        pytest.importorskip("sklearn")
    return read_settings([f"sim={request.param}"])


@pytest.fixture
def simulator(settings):
    return build_simulator(settings.sim)


def test_yaml_names_itself_and_lists_every_field(settings, simulator):
    assert settings.name in NAMES and settings.out == f"data/{settings.name}"
    listed = set(settings.sim) - {"_target_"}
    assert listed == {field.name for field in dataclasses.fields(simulator)}


@pytest.mark.parametrize("check", CHECKS)
def test_every_world_keeps_the_contract(simulator, check):
    CHECKS[check](simulator)


def test_frames_have_the_size_of_the_yaml(settings, simulator):
    shapes_and_types(simulator, settings.image_size)
