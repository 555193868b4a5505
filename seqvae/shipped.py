"""The pretrained models that come with the library, by name."""

from __future__ import annotations

from pathlib import Path

from seqvae.errors import did_you_mean

_PACKAGE = Path(__file__).resolve().parent
# inside the package when installed from a wheel, beside it in a checkout
FOLDERS = (_PACKAGE / "pretrained", _PACKAGE.parent / "pretrained")
WEIGHTS = "model.safetensors"  # seqvae.weights.FILE, which takes the import of torch


def pretrained() -> tuple[str, ...]:
    """Return the names of the pretrained models, which `seqvae.load` and `run=` of the commands accept."""
    return tuple(sorted({file.parent.name for folder in FOLDERS for file in folder.glob(f"*/{WEIGHTS}")}))


def pretrained_folder(name: str | Path) -> Path | None:
    """Return the folder of the pretrained model `name`; None if there is none, or a path of this name."""
    if Path(name).exists() or str(name) not in pretrained():
        return None
    return next(folder / name for folder in FOLDERS if (folder / name / WEIGHTS).is_file())


def shown_path(path: Path) -> str:
    """Return a path as a page for others shows it: that of a pretrained model without the installation."""
    for folder in FOLDERS:
        if path.is_relative_to(folder):
            return str(Path(folder.name) / path.relative_to(folder))
    return str(path)


def run_folder(run: str | Path) -> Path:
    """Return the folder for results of a run: its own, also if a checkpoint in it is named.

    That of a pretrained model, called by its name, is runs/NAME: an installation is not for results.
    """
    if pretrained_folder(run) is not None:
        return Path("runs") / run
    return Path(run) if Path(run).is_dir() else Path(run).parent


def suggestion(name: str | Path) -> str:
    """Return the end of a message about a missing run: pretrained models of a similar name, or all."""
    if len(Path(name).parts) > 1 or Path(name).suffix:  # a path, and no attempt at a name
        return ""
    return "; " + did_you_mean(str(name), pretrained()).replace("known:", "pretrained models:")
