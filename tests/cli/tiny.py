"""The smallest training that the command line can be asked for."""

from __future__ import annotations

TINY = (
    "model=linear",
    "threads=1",
    *(
        f"trainer.{key}"
        for key in (
            "steps=2",
            "batch_size=2",
            "clip_length=5",
            "context=4",
            "validate_every=2",
            "log_every=1",
        )
    ),
)
