"""Scores of the user's own beside those of the protocol: their base class, and their measurement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from seqvae.config import instantiate, parts
from seqvae.data.sequences import Sequences
from seqvae.errors import UserError
from seqvae.rollout import Rollout

Values = Float[np.ndarray, "n"] | Float[np.ndarray, "n t"]


class Metric:
    """A score per sequence, or per sequence and frame, that `evaluate` reports. Made without arguments.

    A score per sequence joins the single values: `shares` of metrics.json, and the last table of table.md. A
    score per frame becomes a curve of the model: in curves.csv and errors.png, and over the usual spans in
    metrics.json and table.md.

    name: key in these files, in lower case with underscores
    """

    name: str

    @abstractmethod
    def __call__(self, rollout: Rollout, sequences: Sequences) -> Values:
        """Return numbers "n" or "n t" for some sequences; a masked entry is not defined and counts nowhere.

        A NaN that is not masked counts, so the mean becomes NaN: a model whose states are not finite must not
        look better for it. Values of a sequence must not depend on the others, since these come in blocks.

        rollout: states "n t k d", decoded frames "n t h w c" and so on; all t = context + horizon frames, the
            first `rollout.context` of them filtered. Slots are in the model's own order (`match_slots` and
            `reorder` of seqvae.metrics give that of the objects).
        sequences: the data, cut to the same n and t; truth that it does not have is None
        """
        raise NotImplementedError


def registered_metrics() -> list[Metric]:
    """Make every registered metric, in order of their names.

    Raises:
        UserError: one takes arguments or has no name, or two have the same.
    """
    targets = sorted(parts().get(Metric, {}))
    made = [instantiate({"_target_": target}, f"metric {target}", Metric) for target in targets]
    names = [metric.name for metric in made]
    for target, name in zip(targets, names, strict=True):
        if not isinstance(name, str) or not name.isidentifier():
            raise UserError(f"metric {target}: name={name!r}: expected a word in lower case with underscores")
        if names.count(name) > 1:
            raise UserError(f"metric {target}: name={name!r}: two metrics have it; rename one")
    return sorted(made, key=lambda metric: metric.name)


@dataclass(frozen=True)
class MetricValues:
    """Numbers of one metric.

    values: n or n t
    defined: n or n t, where there is a number at all
    """

    values: Values
    defined: Bool[np.ndarray, "n"] | Bool[np.ndarray, "n t"]


def measure(metrics: Sequence[Metric], rollout: Rollout, sequences: Sequences) -> dict[str, MetricValues]:
    """Return name -> numbers of some sequences.

    Raises:
        UserError: a metric returns something else.
    """
    n, t = rollout.z.shape[:2]
    found = {}
    for metric in metrics:
        values = metric(rollout, sequences)
        shape = getattr(values, "shape", None)
        if shape not in ((n,), (n, t)) or values.dtype.kind not in "biuf":
            what = type(values).__name__ if shape is None else f"{values.dtype} {shape}"
            name = f"{type(metric).__module__}.{type(metric).__qualname__}"
            raise UserError(f"metric {name}: expected numbers ({n},) or ({n}, {t}), got {what}")
        defined = ~np.ma.getmaskarray(values)
        found[metric.name] = MetricValues(np.asarray(values, dtype=np.float64), defined)
    return found
