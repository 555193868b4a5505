"""What every shipped model offers: the contracts of seqvae.contracts on all of configs/model."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from torch.utils._pytree import tree_leaves

from seqvae.contracts.models import CHECKS
from tests.models import SHIPPED, config, every_model, make


@pytest.mark.parametrize("check", CHECKS)
@every_model
def test_every_model_keeps_the_contract(name, check):
    CHECKS[check](partial(make, name))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_config_says_no_more_than_data_can_be_given(name):
    plain: list[Any] = tree_leaves(config(name))
    assert all(isinstance(x, (str, int, float, bool, type(None))) for x in plain)
