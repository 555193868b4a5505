"""What can be said of an import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from data_gen.blocks import SPLITS
from data_gen.errors import DataError, require_choice, require_flags, require_number, require_words
from data_gen.formats import IMPORTS


@dataclass(frozen=True)
class Options:
    """configs/data_import.yaml, composed and checked."""

    format: str
    data: str
    out: str
    name: str | None = None
    split: str | None = None
    overwrite: bool = False
    canvas: int | None = None
    image_size: int | None = None
    crop: bool = True
    length: int | None = None
    stride: int | None = None
    val: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        require_words(self, "format", "data", "out", *([] if self.name is None else ["name"]))
        require_choice("format", self.format, IMPORTS)
        require_flags(self, "overwrite", "crop")
        if self.split is not None:
            require_choice("split", self.split, SPLITS)
        for key in ("canvas", "image_size", "length", "stride"):
            if getattr(self, key) is not None:
                require_number(key, getattr(self, key), minimum=1, maximum=10**6, integer=True)
        for key in ("val", "test"):
            require_number(key, getattr(self, key), minimum=0, maximum=1)
        if self.val + self.test > 1:
            raise DataError(f"val={self.val} test={self.test}: more than all together; give shares")

    def said(self) -> dict[str, Any]:
        """What differs from the defaults, but for where the files go."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {key: value for key, value in said.items() if key not in ("out", "overwrite")}

    def split_of(self, path: Path) -> str:
        """The split that a file becomes: the one asked for, the one in its name, else train."""
        words = path.stem.lower().replace("-", "_").split("_")  # "billiards_test", "validation"
        named = (split for split in SPLITS if any(word.startswith(split) for word in words))
        return self.split or next(named, "train")
