"""Parse overrides, the words key=value of a command line, with paths taken literally."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_gen.errors import DataError

PATHS = {  # config -> its keys whose values are paths, taken literally
    "train": ("run", "data", "val", "init"),
    "rollout": ("run", "data", "out"),
    "evaluate": ("run", "data", "out"),
    "plan": ("run", "against", "out"),
    "play": ("run", "data"),
    "inspect": ("path", "out"),
    "report": ("run", "data", "evaluation", "out"),
    "compare": ("runs", "against", "out"),
    "export": ("run", "out"),
    "generate": ("out",),
    "data_record": ("env", "out", "policy"),
    "data_import": ("data", "out", "key", "layout", "masks", "positions", "actions", "rewards"),
    "data_export": ("data", "out"),
    "data_preview": ("data", "out"),
}


def parse_overrides(
    words: Iterable[str], paths: Collection[str] = (), sweeps: bool = False
) -> list[Override]:
    """Parse overrides.

    paths: keys whose values are taken literally, whatever characters they hold
    sweeps: whether a key may have several values; a path has them if it is written so (`run=a,b`) and no
        file has that name

    Raises:
        DataError: an override is malformed, or has several values without `sweeps`.
    """
    return [_parsed(word, paths, sweeps) for word in words]


def _parsed(word: str, paths: Collection[str], sweeps: bool) -> Override:
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~").partition("@")[0]
    if not equals and not word.startswith("~"):
        raise DataError(f"{word}: expected key=value")
    if not bare:
        raise DataError(f"{word}: expected key=value, the key is missing")
    if equals and bare in paths and not (sweeps and _is_sweep(word) and not Path(value).exists()):
        word = f"{key}={quote(value)}"
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise DataError(f"{word}: {one_line(error)}") from None
    if override.is_sweep_override() and not sweeps:
        raise DataError(f"{word}: one value per key, or -m to try each; quotes make it one: '{key}=\"a,b\"'")
    return override


def _is_sweep(word: str) -> bool:
    try:
        return OverridesParser.create().parse_override(word).is_sweep_override()
    except HydraException:
        return False


def quote(value: str) -> str:
    """Return a text as the value of an override for exactly this text, or null for "" and "null"."""
    if value in ("", "null"):
        return "null"
    value = re.sub(r"(\\*)'", lambda m: m.group(1) * 2 + r"\'", escape(value))
    trailing = len(value) - len(value.rstrip("\\"))
    return f"'{value}{trailing * chr(92)}'"


def escape(text: str) -> str:
    """Return a text as OmegaConf reads it, which looks for ${...}."""
    # a backslash is itself, except in front of what it escapes
    return re.sub(r"(\\*)\$\{", lambda m: m.group(1) * 2 + r"\${", text)


def text_of(override: Override) -> str:
    """Return an override as text, with its paths quoted."""
    assert override.input_line is not None
    return override.input_line


def values_of(override: Override) -> list[Any]:
    """Return the values of an override: one, all of a choice, or the first of a range of numbers."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start]
    if not override.is_sweep_override():
        return [value]
    override.config_loader = (
        GlobalHydra.instance().config_loader()
    )  # knows the options that a glob stands for
    return list(islice(override.sweep_iterator(), None if override.is_choice_sweep() else 1))


def one_line(error: Exception) -> str:
    """Return the first line of an error's message, with the known options that Hydra adds to it."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    lines = [line.strip() for e in (error, cause) for line in str(e or "").splitlines() if line.strip()]
    known = getattr(error, "options", None)  # of Hydra's error about an option that is missing
    line = lines[0] if lines else type(error).__name__
    return f"{line}; known: {', '.join(known)}" if known else line


def keys_of(overrides: Any) -> frozenset[str]:
    """Return the keys of the overrides in a list of Hydra's config."""
    texts = [str(text) for text in OmegaConf.to_container(overrides, resolve=False) or ()]
    return frozenset(o.key_or_group for o in OverridesParser.create().parse_overrides(texts))


def literal(override: Override) -> Any:
    """Return the value of an override as it stands in a composed config."""
    return OmegaConf.create({"value": override.value()}).value
