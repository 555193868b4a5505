"""The shape checks themselves: without the import hook every other test would pass unchecked."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from seqvae.types import Encoding, Scene


def test_a_wrong_shape_is_found():
    with pytest.raises(jaxtyping.TypeCheckError):
        Scene(frames=torch.zeros(2, 3, 32, 32))


def test_axes_of_one_name_have_one_size():
    with pytest.raises(jaxtyping.TypeCheckError):
        Encoding(mean=torch.zeros(2, 3, 4), precision=torch.zeros(2, 3, 5))
