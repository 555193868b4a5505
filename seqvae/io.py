"""Files that appear complete or not at all, and the package version that they record (see data_gen.io)."""

from __future__ import annotations

from data_gen.io import TEMPORARY, package_version
from data_gen.io import atomic_write as write_whole

__all__ = ["TEMPORARY", "package_version", "write_whole"]
