"""Draw the prediction error over time and frames: python benchmarks/learning_curve.py out.png NAME=RUN ...

The error is that of predicted frames 1-10 in half-widths, from the validations in the logs of the runs. A
frame counts each time that a clip shows it, as pixels or as a cached encoding. Runs of one name have one
colour.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

ERROR = "position_error_1_10"
PAPER = {"data/billiards": 0.042, "data/gravity": 0.014}  # Kossen et al. 2020, recalled: sums / 10 frames


def main() -> None:
    if len(sys.argv) < 3 or not all("=" in argument for argument in sys.argv[2:]):
        sys.exit(__doc__)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    colours: dict[str, str] = {}
    worlds: set[str] = set()
    for argument in sys.argv[2:]:
        name, _, run = argument.partition("=")
        minutes, frames, errors, data = curve(Path(run))
        worlds.add(data)
        label = name if name not in colours else None
        colour = colours.setdefault(name, f"C{len(colours)}")
        for panel, x in zip(panels, (minutes, frames), strict=True):
            panel.plot(x, errors, ".-", color=colour, label=label)
        print(f"{run}: {errors[-1]:.4f} after {minutes[-1]:.1f} minutes and {frames[-1]:,.0f} frames")
    for panel, what in zip(panels, ("minutes of training", "frames in clips"), strict=True):
        panel.set(xlabel=what, yscale="log")
        panel.grid(alpha=0.3, which="both")
        for error in {PAPER[data] for data in worlds if data in PAPER}:
            panel.axhline(error, color="grey", linestyle="--", label="paper (recalled), at the end")
    panels[1].set_xscale("log")
    panels[0].set_ylabel("position error, predicted 1-10")
    panels[0].legend(frameon=False)
    figure.savefig(sys.argv[1], dpi=110)


def curve(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return minutes, frames and errors of a run's validations, and the data that it was trained on."""
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    config: Any = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    trained = [(x["step"], x["elapsed"] / 60) for x in lines if x["kind"] == "train"]
    steps = np.array([x["step"] for x in lines if x["kind"] == "validation"])
    errors = np.array([x[ERROR] for x in lines if x["kind"] == "validation"])
    at_step, at_minute = zip((0, 0.0), *trained, strict=True)
    minutes = np.interp(steps, at_step, at_minute)
    return minutes, np.array([frames_until(step, config) for step in steps]), errors, config["data"]


def frames_until(step: int, config: dict[str, Any]) -> int:
    """Return the number of frames in the clips of the first `step` updates, over all stages."""
    frames = 0
    for stage in (config["stages"] or {"": {}}).values():
        trainer = config["trainer"] | stage.get("trainer", {})
        of_stage = step if trainer["steps"] is None else min(step, trainer["steps"])
        frames += of_stage * trainer["batch_size"] * trainer["clip_length"]
        step -= of_stage
    return frames


if __name__ == "__main__":
    main()
