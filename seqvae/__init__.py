"""Structured sequential variational autoencoders: object-aware models of video."""

from __future__ import annotations

from importlib import import_module

from data_gen import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to import than the command line takes to handle signals
    from typing import Any

    from seqvae.checkpoint import load_model as load
    from seqvae.data.conversion import as_video
    from seqvae.data.sequences import read_sequences as read
    from seqvae.inference import Latents, latents
    from seqvae.shipped import pretrained

__all__ = ["Latents", "as_video", "latents", "load", "pretrained", "read", "__version__"]

_PLACES = {
    "Latents": "seqvae.inference:Latents",
    "as_video": "seqvae.data.conversion:as_video",
    "latents": "seqvae.inference:latents",
    "load": "seqvae.checkpoint:load_model",
    "pretrained": "seqvae.shipped:pretrained",
    "read": "seqvae.data.sequences:read_sequences",
}


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `import seqvae` alone and the command line's usage text need none of it
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)
