"""A plugin of pytest with the options of the contract tests, and their cases: what the plugins register."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from data_gen.errors import DataError
from data_gen.plugins import OWN, load_plugins
from data_gen.simulator import worlds
from seqvae.contracts.subjects import foreign_parts, model_of, subjects_of
from seqvae.errors import UserError
from seqvae.evaluate.metric import Metric
from seqvae.objectives import Objective
from seqvae.planning.planner import Planner
from seqvae.types import Schedule

APART = (Objective, Schedule, Metric, Planner)  # kinds that are no part of a model


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("seqvae")
    group.addoption(
        "--own", action="append", default=[], metavar="MODULE_OR_FILE",
        help="module or file of yours whose parts and worlds are tested; may be repeated, or hold commas",
    )  # fmt: skip
    group.addoption(
        "--words", default="", metavar="WORDS",
        help='test the model of these words of train, as in --words "model=stove model.dynamics.hidden=8"',
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    names = [name for given in config.getoption("--own") or [] for name in given.split(",")]
    try:
        load_plugins(names)
    except DataError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its cases; a part that fits nowhere is a case that fails with the reason."""
    config = metafunc.config
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", _subjects(config), ids=lambda subject: getattr(subject, "name", None))
    for name, found in (("objective", Objective), ("schedule", Schedule)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [target for target, kind in foreign_parts().items() if kind is found])
    if "world" in metafunc.fixturenames:
        metafunc.parametrize("world", [name for name in worlds() if name.partition(".")[0] not in OWN])


def _subjects(config: pytest.Config) -> list[Any]:
    try:
        if words := config.getoption("--words"):
            return [model_of(words)]
    except (DataError, UserError) as error:
        raise pytest.UsageError(str(error)) from None
    found: list[Any] = []
    for target, kind in foreign_parts().items():
        if kind not in APART:
            try:
                found += subjects_of(target, kind)
            except UserError as error:
                found.append(pytest.param(error, id=target))
    return found


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Each test starts from the same torch seed, so it does not depend on the tests before it."""
    torch.manual_seed(0)
