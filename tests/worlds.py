"""Small datasets of the simulators, made by the command."""

from __future__ import annotations

from pathlib import Path

from data_gen.__main__ import main as generate


def make_data(folder: Path, sim: str, *options: str) -> Path:
    """Write a dataset in one process and return its folder; a split that no option names has no sequences."""
    settings = {"sim": sim, "out": str(folder), "train": "0", "val": "0", "test": "0", "workers": "1"}
    settings |= dict(option.split("=", 1) for option in options)
    assert generate([f"{key}={value}" for key, value in settings.items()]) == 0
    return folder
