"""Policies that act in recorded environments: random, sticky, or a class of the user.

A policy is made for each episode, with the action space and a generator, and called with the observation and
the info of a step: `Policy(space, rng)(observation, info) -> action`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from data_gen import plugins
from data_gen.errors import DataError
from data_gen.gym import gymnasium

CHANGE = (0.2, 0.3)  # range of the probability with which a sticky action changes

Policy = Callable[[Any, dict[str, Any]], Any]


class Random:
    """Independent actions: uniform over numbered ones and inside of limits.

    A number without limits is drawn from a standard normal, one with a single limit from an exponential
    distribution that begins there.
    """

    def __init__(self, space: Any, rng: np.random.Generator) -> None:
        self.space, self.rng = space, rng

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        return self.draw()

    def draw(self) -> Any:
        space, rng = self.space, self.rng
        if isinstance(space, gymnasium.spaces.Discrete):
            return int(space.start + rng.integers(space.n))
        low, high = space.low.astype(float), space.high.astype(float)
        below, above = np.isfinite(low), np.isfinite(high)
        inside = rng.uniform(np.where(below & above, low, 0), np.where(below & above, high, 1))
        tail, free = rng.exponential(size=low.shape), rng.standard_normal(low.shape)
        one_sided = np.where(below, np.where(below, low, 0) + tail, np.where(above, high, 0) - tail)
        drawn = np.where(below & above, inside, np.where(below | above, one_sided, free))
        return drawn.astype(space.dtype)


class Sticky(Random):
    """Random actions that mostly repeat the one before.

    An episode draws its probability of a change from Uniform(*CHANGE). A numbered action changes to each of
    the others with equal probability, numbers are drawn anew.

    Source: Kossen et al. 2020.
    """

    def __init__(self, space: Any, rng: np.random.Generator) -> None:
        super().__init__(space, rng)
        self.change, self.last = rng.uniform(*CHANGE), self.draw()
        self.is_first = True

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        changes, self.is_first = self.rng.random() < self.change and not self.is_first, False
        if changes:
            self.last = self._other()
        return self.last

    def _other(self) -> Any:
        space = self.space
        if not isinstance(space, gymnasium.spaces.Discrete):
            return self.draw()
        if space.n == 1:
            return self.last
        return int(space.start + (self.last - space.start + self.rng.integers(1, space.n)) % space.n)


BUILT_IN: dict[str, Callable[[Any, np.random.Generator], Policy]] = {"random": Random, "sticky": Sticky}


def find_policy(name: str) -> Callable[[Any, np.random.Generator], Policy]:
    """Return the class of a policy: one of BUILT_IN, or MODULE:CLASS, where a module may be a file.

    Raises:
        DataError: there is no such policy.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, colon, kind = name.rpartition(":")
    if not colon:
        raise DataError(f"policy={name}: expected {', '.join(BUILT_IN)}, MODULE:CLASS or ./FILE.py:CLASS")
    try:
        found: Any = getattr(plugins.import_code(module), kind, None)
    except plugins.PluginError as error:
        raise DataError(f"policy={name}: {error}") from None
    if not inspect.isclass(found):
        raise DataError(f"policy={name}: {module} has no class {kind}")
    try:
        inspect.signature(found).bind(None, None)
    except TypeError:
        raise DataError(f"policy={name}: must take two arguments, the action space and a generator") from None
    return cast(Callable[..., Policy], found)
