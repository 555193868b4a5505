"""Structured sequential variational autoencoders: object-aware models of video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_gen import __version__

if TYPE_CHECKING:
    from seqvae.checkpoint import load_model as load
    from seqvae.data.sequences import read_sequences as read

__all__ = ["load", "read", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `import seqvae` alone and the command line's usage text need none of it
    if name == "load":
        from seqvae.checkpoint import load_model

        return load_model
    if name == "read":
        from seqvae.data.sequences import read_sequences

        return read_sequences
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
