"""Bad input ends with one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from seqvae.errors import UserError


def refusal(call: Callable[..., Any], *arguments: Any, error: type[Exception] = UserError) -> str:
    """Return the message, a single line, with which a call is refused."""
    with pytest.raises(error) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message
