"""Make the table of the other models of the family: python benchmarks/family.py [--only WORD ...] [--jobs N]

Like results.py, in the same folder: generate data, train with every seed, evaluate on the test split, and
print the numbers that each model is judged by, with the strongest baselines of its world below them. The
table is kept as runs/results/family.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean, stdev
from typing import Any

from results import measured
from tables import QUANTITIES, SPANS, Result, Row, chosen_by, markdown, minutes, span_words, strongest

DIGITS = ("sim=digits_still", "image_size=28", "sim.counts=[1]", "sim.digit_size=[0.7,0.75]")
SPRITES = ("sim=sprites", "image_size=32")
IMAGES = ("videos=0", "iwae=0")
BOUNDS = ("videos=0", "iwae=100", "bound_sequences=3000")
BOUNDED = (  # starts from seed 0 of the first row
    "experiment=monet_sprites",
    "model.frame.masks=decoder",
    "init=runs/results/sprites_still-monet-0",
    "trainer.steps=2000",
    "optim.lr=1e-3",
    "objective.factors=null",
)
ROWS = (
    Row("MONet", "sprites_still", ("experiment=monet_sprites",), evaluate=IMAGES),
    Row("sequential MONet", "sprites32", ("experiment=monet_sequence",), make=SPRITES),
    Row("AIR", "digits_still", ("experiment=air_digits",), evaluate=IMAGES),
    Row("VAE, Gaussian", "digits28", ("experiment=vae_digits",), evaluate=BOUNDS, make=DIGITS),
    Row("VAE, flow", "digits28", ("experiment=vae_iaf_digits",), evaluate=BOUNDS, make=DIGITS),
    Row("MONet, a true bound", "sprites_still", BOUNDED, 1, evaluate=("videos=0", "iwae=100"), late=True),
)
MASKS = ("fg_ari_at_10", "fg_ari_1_10", "mean_iou_at_10")
WORDS = {"fg_ari": "FG-ARI", "mean_iou": "mean IoU", "at_10": "predicted frame 10", "1_10": "predicted 1-10"}
# path in metrics.json, name, digits
NUMBERS = (
    (("shares", "count_accuracy"), "count accuracy", 4),
    (("shares", "fg_ari_attention"), "FG-ARI, encoder's masks", 3),
    (("shares", "fg_ari_reconstruction"), "FG-ARI, decoder's masks", 3),
    (("bound", "elbo"), "ELBO of whole sequences, nats per frame", 2),
    (("bound", "iwae"), "IWAE of whole sequences, nats per frame", 2),
)


def main() -> None:
    measured(__doc__, ROWS, "family.md", report)


def report(rows: Sequence[Row]) -> Iterator[str]:
    """Yield one table with a line per number of a model: mean, seeds, spread over seeds, standard error."""
    head = ["model", "number", "mean", "each seed", "spread", "se of seed 0", "minutes", "checkpoint by"]
    yield "\n".join(markdown(head, [line for row in rows for line in _lines(row)]))


def _lines(row: Row) -> Iterator[list[str]]:
    results = row.results()
    if not results:
        return
    took, by = " ".join(f"{minutes(row.run(seed)):.1f}" for seed in row.done()), chosen_by(results)
    for path, name, digits in numbers(results[0]):
        values = [value for value in (at(result, path) for result in results) if value]
        if values:
            each = [value["mean"] for value in values]
            error = f"{values[0]['se']:.{digits}f}" if values[0]["se"] is not None else ""
            spread = f"{stdev(each):.{digits}f}" if len(each) > 1 else ""
            shown = " ".join(f"{x:.{digits}f}" for x in each) if len(each) > 1 else ""
            yield [row.name, name, f"{mean(each):.{digits}f}", shown, spread, error, took, by]


def numbers(result: Result) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Yield NUMBERS and the predictions: of masks with every baseline, of the rest with the strongest."""
    yield from NUMBERS
    for key in MASKS:
        name = ", ".join(WORDS[part] for part in WORDS if part in key)
        for row in result.get("segmentation") or {}:
            yield ("segmentation", row, key), name if row == "model" else f"{name}: {row}", 3
    for quantity, words in QUANTITIES.items():
        for span in SPANS:
            name = f"{words}, {span_words(span)}"
            yield ("table", "model", f"{quantity}_{span}"), name, 4
            for row in dict.fromkeys(["linear", "bouncing", strongest(result, quantity, span)]):
                if row:
                    least = " (strongest)" if row == strongest(result, quantity, span) else ""
                    yield ("table", row, f"{quantity}_{span}"), f"{name}: {row}{least}", 4


def at(result: Result, path: tuple[str, ...]) -> Any:
    """Return the estimate at a path in metrics.json, or None if there is none."""
    value: Any = result
    for key in path:
        value = (value or {}).get(key)
    return value if value and value.get("mean") is not None else None


if __name__ == "__main__":
    main()
