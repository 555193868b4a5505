"""`python -m seqvae.contracts plugins=[./my_model.py]`: test parts and worlds of the user."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import ListConfig

from data_gen.cli.overrides import literal, parse_overrides
from data_gen.errors import DataError
from data_gen.plugins import plugin_names

NAME = "seqvae.contracts"
TESTS, OPTIONS = f"{NAME}.test_plugins", f"{NAME}.options"
QUIET = "ignore::pytest.PytestAssertRewriteWarning"  # some packages are imported already


def main(words: Sequence[str]) -> int:
    """Run the tests; return the exit code of pytest, 2 for bad input."""
    if importlib.util.find_spec("pytest") is None:
        print(f"{NAME}: needs pytest; pip install 'seqvae[test]'", file=sys.stderr)
        return 2
    first_flag = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    given, flags = words[:first_flag], words[first_flag:]
    try:
        chosen = [word for word in given if word.startswith("plugins=")]
        plugins = [name for o in parse_overrides(chosen) for name in plugin_names(_plain(literal(o)))]
        if not plugins:
            raise DataError("say which parts to test: plugins=[./my_model.py]")
    except DataError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    import pytest

    of_model = shlex.join(word for word in given if word not in chosen)
    options = [f"--own={name}" for name in plugins] + ([f"--words={of_model}"] if of_model else [])
    return int(pytest.main(["-p", OPTIONS, "-W", QUIET, "--pyargs", TESTS, *options, *flags]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, ListConfig) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
