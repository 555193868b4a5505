"""Structured sequential variational autoencoders: object-aware models of video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqvae.checkpoint import load_model as load

__version__ = "0.1.0"
__all__ = ["load", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `import seqvae` alone and the command line's usage text need none of it
    if name == "load":
        from seqvae.checkpoint import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
