"""Where the walls of a world are, as far as a dataset file tells."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

import numpy as np

from data_gen.schema import DatasetInfo

Reach = Callable[..., np.ndarray]

_DISCS = ("billiards", "avoidance", "springs", "charged")


def wall_rule(info: DatasetInfo) -> Reach | None:
    """The method `reach` of the file's world (see data_gen.simulator), None where no walls are known.

    A generated file names its simulator's class. An imported one only has a name for the world: it has the
    walls of our world of discs of that name, with or without something behind it (billiards6).
    """
    target = info.config.get("simulator", {}).get("_target_", "")
    name = re.match("[a-z]*", info.simulator).group()
    if "import" in info.config and name in _DISCS:
        target = f"data_gen.sims.{name}.{name.capitalize()}"
    module, _, kind = target.rpartition(".")
    if not module.startswith("data_gen.sims."):
        return None
    try:
        return getattr(getattr(importlib.import_module(module), kind, None), "reach", None)
    except ImportError:  # another program's world, or one that needs what is not installed
        return None
