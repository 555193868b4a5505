"""The record of a run: one JSON object a line in log.jsonl, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seqvae.disk import write_whole

FILE = "log.jsonl"


class Logbook:
    """Writes scalars, warnings and images of a run. Numbers that are not finite are stored as null."""

    def __init__(self, run: Path, step: int = 0, validated: int = 0):
        """Opens the run's log at `step`, whose last validation was at `validated`.

        What a killed process wrote after that is dropped, for the resumed process writes it again.
        """
        self.path = run / FILE
        _keep_until(self.path, step, validated)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _tensorboard(run / "tensorboard", step)

    def scalars(self, kind: str, step: int, values: dict[str, float]) -> None:
        """kind: "train", "validation" or "slots"; a line of the log, and curves named kind/name."""
        self._line({"kind": kind, "step": step, **{name: _finite(v) for name, v in values.items()}})
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def warning(self, step: int, text: str) -> None:
        self._line({"kind": "warning", "step": step, "text": text})
        if self.board is not None:
            self.board.add_text("warning", text, step)

    def image(self, name: str, step: int, image: Float[Tensor, "c h w"]) -> None:
        """An image in [0, 1], for TensorBoard only."""
        if self.board is not None:
            self.board.add_image(name, image.clamp(0, 1).cpu(), step)

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()

    def _line(self, content: dict[str, Any]) -> None:
        self.file.write(json.dumps(content) + "\n")
        self.file.flush()


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, in order; a half-written last line is left out."""
    path = Path(run) / FILE
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _keep_until(path: Path, step: int, validated: int) -> None:
    if path.is_file():
        ends = {"validation": min(validated, step)}
        kept = [line for line in read_log(path.parent) if line["step"] <= ends.get(line["kind"], step)]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_whole(path, lambda file: file.write(text.encode()))


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _finite(value: float) -> float | None:
    # JSON knows no NaN
    return value if value == value and abs(value) != float("inf") else None
