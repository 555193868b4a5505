"""Simulators of multi-object video, and the dataset files made from them."""

from __future__ import annotations

__version__ = "0.1.0"  # of both packages; pyproject.toml, seqvae and written files take it from here
