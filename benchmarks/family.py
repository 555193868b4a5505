"""The other models of the family in numbers: python benchmarks/family.py [--only WORD ...] [--jobs N]

As benchmarks/results.py, whose folder it shares: data, trainings with every seed, evaluations on the test
split, and a table of the numbers that each model is judged by, kept as runs/results/family.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

from results import Row, measured, minutes, tell

DIGITS = ("sim=digits_still", "image_size=28", "sim.counts=[1]", "sim.digit_size=[0.7,0.75]")
SPRITES = ("sim=sprites", "image_size=32")
IMAGES = ("videos=0", "iwae=0")
BOUNDS = ("videos=0", "iwae=100", "bound_sequences=3000")
BOUNDED = (  # goes on from the first row's seed 0
    "experiment=monet_sprites", "model.frame.masks=decoder", "init=runs/results/sprites_still-monet-0",
    "trainer.steps=2000", "optim.lr=1e-3", "objective.factors=null",
)
ROWS = (
    Row("MONet", "sprites_still", ("experiment=monet_sprites",), seeds=3, evaluate=IMAGES),
    Row("sequential MONet", "sprites32", ("experiment=monet_sequence",), make=SPRITES),
    Row("AIR", "digits_still", ("experiment=air_digits",), seeds=2, evaluate=IMAGES),
    Row("VAE, Gaussian", "digits28", ("experiment=vae_digits",), evaluate=BOUNDS, make=DIGITS),
    Row("VAE, flow", "digits28", ("experiment=vae_iaf_digits",), evaluate=BOUNDS, make=DIGITS),
    Row("MONet, a true bound", "sprites_still", BOUNDED, evaluate=("videos=0", "iwae=100"), late=True),
)
# of each number: its place in metrics.json, what it is called, digits
NUMBERS = (
    (("shares", "count_accuracy"), "count accuracy", 4),
    (("shares", "fg_ari_attention"), "FG-ARI, encoder's masks", 3),
    (("shares", "fg_ari_reconstruction"), "FG-ARI, decoder's masks", 3),
    (("shares", "fg_ari_at_10"), "FG-ARI, predicted frame 10", 3),
    (("table", "model", "pixel_mse_1_10"), "pixel MSE, predicted 1-10", 4),
    (("table", "copy of the last frame", "pixel_mse_1_10"), "pixel MSE, copy of the last frame", 4),
    (("table", "linear", "pixel_mse_1_10"), "pixel MSE, its states going straight on", 4),
    (("table", "model", "position_error_1_10"), "position error, predicted 1-10", 4),
    (("table", "linear", "position_error_1_10"), "position error, its states going straight on", 4),
    (("bound", "elbo"), "ELBO, nats", 2),
    (("bound", "iwae"), "IWAE, nats", 2),
)


def main() -> None:
    tell("family.md", ["\n".join(table(measured(__doc__, ROWS)))])


def table(rows: list[Row]) -> Iterator[str]:
    """Markdown lines: one number of one model a line, its mean over seeds, each seed, its standard error."""
    yield "| model | number | mean | each seed | se of seed 0 | minutes |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        results = row.results()
        took = " ".join(f"{minutes(row.run(seed)):.1f}" for seed in range(row.seeds))
        for path, name, digits in NUMBERS:
            found = [value for value in (at(result, path) for result in results) if value]
            if found:
                each = [f"{value['mean']:.{digits}f}" for value in found]
                average = f"{mean(value['mean'] for value in found):.{digits}f}"
                error = f"{found[0]['se']:.{digits}f}" if found[0]["se"] is not None else ""
                yield f"| {row.name} | {name} | {average} | {' '.join(each)} | {error} | {took} |"


def at(result: dict[str, Any], path: tuple[str, ...]) -> dict[str, float] | None:
    """What stands there in a metrics.json, if anything."""
    for key in path:
        result = (result or {}).get(key)
    return result


if __name__ == "__main__":
    main()
