"""Tables of an evaluation for people, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from seqvae.evaluate.bounds import NO_BOUND, Bound
from seqvae.evaluate.quantities import QUANTITIES
from seqvae.evaluate.scores import FIRST, SHORT, Scores
from seqvae.evaluate.tracks import LEAST_PIXELS
from seqvae.metrics import Estimate
from seqvae.metrics.tracking import LEAST_OVERLAP

MASK_SPANS = ("reconstruction", "attention", f"at_{SHORT}", f"1_{SHORT}")
Cells = dict[str, str]  # column -> text


def render(
    scores: Scores,
    bounds: Sequence[Bound],
    uncertainty: Mapping[str, Estimate],
    long: Mapping[int, Mapping[str, Estimate]],
) -> str:
    """Return the page of an evaluation: a table per quantity, of masks, shares, counts and long rollouts."""
    lines = _headline(scores)
    for quantity in dict.fromkeys(q for curves in scores.curves.values() for q in curves):
        lines += [*table(_error_rows(scores, quantity), title_of_quantity(quantity)), ""]
        lines += _strongest_line(scores, quantity) + _left_out_line(scores, quantity)
        if quantity == "med":
            lines += [f"{explain_med(scores.shares.get('found'))}.", ""]
    for span in dict.fromkeys(span_of(name) for row in scores.segmentation.values() for name in row):
        lines += [*table(_mask_rows(scores, span), f"masks, {column_title(span)}"), ""]
    lines += _value_lines(scores, bounds, uncertainty)
    if scores.counts is not None:
        rows = {
            f"{true}": {f"counted {inferred}": str(frames) for inferred, frames in enumerate(row)}
            for true, row in enumerate(scores.counts)
        }
        lines += [*table(rows, "objects in a frame"), ""]
    if long:
        rows = {f"predicted frame {frame:,}": format_all(values) for frame, values in long.items()}
        lines += [*table(rows), ""]
    return "\n".join(lines)


def table(rows: Mapping[str, Cells], title: str = "") -> list[str]:
    """Return the lines of a table, padded so that it also reads as plain text; missing cells stay empty."""
    columns = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    lines = [[title, *columns], *([row, *(cells.get(c, "") for c in columns)] for row, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]


def format_estimate(value: Estimate) -> str:
    """Return a mean with its standard error, if it has one."""
    if math.isnan(value.se):
        return f"{value.mean:.4g}"
    return f"{value.mean:.4f} ± {value.se:.4f}"


def format_all(values: Mapping[str, Estimate]) -> Cells:
    """Return `format_estimate` of every value."""
    return {name: format_estimate(value) for name, value in values.items()}


def title_of_quantity(quantity: str) -> str:
    """Return the words for a quantity; those of the user are called as they are."""
    return QUANTITIES[quantity].title if quantity in QUANTITIES else quantity.replace("_", " ")


def explain_med(found: Estimate | None) -> str:
    """Return the sentence that says what MED passes over."""
    without = "MED is in picture widths, and an object without a slot costs nothing"
    return without if found is None else f"{without}: all objects are found in {found.mean:.1%} of sequences"


def explain_tracks(scores: Scores) -> str:
    """Return the sentence that says what the tracking scores compare."""
    smallest = f", of more than {LEAST_PIXELS} pixels" if scores.tracked == "masks" else ""
    return (
        f"Tracks: slots by their {scores.tracked}{smallest}, in frames {FIRST}-{scores.context}, at an "
        f"intersection over union of at least {LEAST_OVERLAP}; faults per true object"
    )


def explain_under_encoder(bound: Bound) -> str:
    """Return the sentence that says what the numbers of later frames bound, and what they do not."""
    before, after = _frames(1, bound.first - 1), _frames(bound.first, bound.last)
    return (
        f"The numbers of frames {bound.first}-{bound.last} bound log E[p(x_{after} | z_{before})] under the "
        f"encoder's q(z_{before} | x_{before}), which can exceed log p(x_{after} | x_{before}) by any amount"
    )


def _headline(scores: Scores) -> list[str]:
    sources = scores.sources
    origin = "" if sources is None else f" made from {sources} sources, which are the samples"
    return [
        f"{scores.n} sequences{origin}, context of {scores.context} frames, horizon {scores.horizon}. "
        "Mean and standard error; positions and velocities in half-widths.\n"
    ]


def _error_rows(scores: Scores, quantity: str) -> dict[str, Cells]:
    """Return row -> cells of one error, under short column titles: "1_10" as "predicted 1-10"."""
    start = f"{quantity}_"
    rows = {}
    for row, columns in scores.table().items():
        cells = {c.removeprefix(start): v for c, v in columns.items() if c.startswith(start)}
        if cells:
            rows[row] = {column_title(name): text for name, text in format_all(cells).items()}
    return rows


def _strongest_line(scores: Scores, quantity: str) -> list[str]:
    """Return a line that names the baselines with the least error, over predicted 1-10 and over all."""
    spans = dict.fromkeys(f"1_{length}" for length in (min(SHORT, scores.horizon), scores.horizon))
    strongest = {span: scores.strongest(f"{quantity}_{span}") for span in spans}
    names = [f"{row} ({column_title(span)})" for span, row in strongest.items() if row]
    return [f"Strongest baseline: {'; '.join(names)}.", ""] if names else []


def _left_out_line(scores: Scores, quantity: str) -> list[str]:
    """Return a line with the share of the model's frames without such an error, if there are any."""
    curve = scores.curves["model"].get(quantity)
    share = 0.0 if curve is None else curve.left_out
    why = "Without objects" if quantity.endswith("_error") else "Not defined"
    return [f"{why}, and left out: {share:.2%} of the frames.", ""] if share else []


def _mask_rows(scores: Scores, span: str) -> dict[str, Cells]:
    """Return row -> cells of one span's scores of masks, under their short names."""
    rows = {}
    for row, values in scores.segmentation.items():
        of_span = {name: value for name, value in values.items() if span_of(name) == span}
        if of_span:
            cells = format_all(of_span)
            rows[row] = {n.removesuffix(f"_{span}").replace("_", " "): text for n, text in cells.items()}
    return rows


def _value_lines(scores: Scores, bounds: Sequence[Bound], uncertainty: Mapping[str, Estimate]) -> list[str]:
    """Return the table of single values: shares, sampled futures and bounds, which are explained below it."""
    of_masks = scores.segmentation.get("model", {})
    shares = {name: value for name, value in scores.shares.items() if name not in of_masks}
    values = format_all(shares) | format_all(uncertainty)
    for bound in bounds:
        values |= _bound_values(bound)
    lines = [*table({name: {"value": value} for name, value in values.items()}), ""] if values else []
    lines += [f"{explain_tracks(scores)}.\n"] if scores.tracked and "mota" in shares else []
    later = (bound for bound in bounds if bound.elbo is not None and not bound.whole)
    return lines + [f"{explain_under_encoder(bound)}.\n" for bound in later]


def _bound_values(bound: Bound) -> Cells:
    frames = f"nats per frame, frames {bound.first}-{bound.last}"
    if bound.elbo is None or bound.iwae is None:
        return {"ELBO": NO_BOUND, f"objective, {frames}": format_estimate(bound.objective)}
    condition = "" if bound.whole else f" under q(z_{_frames(1, bound.first - 1)} | x)"
    return {
        f"ELBO, {frames}{condition}": format_estimate(bound.elbo),
        f"IWAE-{bound.samples}, {frames}{condition}": format_estimate(bound.iwae),
    }


def column_title(span: str) -> str:
    """Return the words for a span: "1_10" -> "predicted 1-10"."""
    if span in ("reconstruction", "attention"):
        return span
    if span.startswith("at_"):
        return f"predicted {span.removeprefix('at_')}"
    frames = span.removesuffix("_sum").replace("_", "-")
    return f"sum of {frames}" if span.endswith("_sum") else f"predicted {frames}"


def span_of(name: str) -> str:
    """Return the frames that a score of masks is taken from: "fg_ari_at_10" -> "at_10"."""
    return next(span for span in MASK_SPANS if name.endswith(f"_{span}"))


def _frames(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}:{last}"
