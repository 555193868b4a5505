"""The packages; all other metadata is in pyproject.toml. Why: docs/adr/0003-configs-in-a-wheel.md."""

from __future__ import annotations

from setuptools import find_packages, setup

# configs/ sits at the top of the repository, for people to read. A wheel carries it inside data_gen.
CONFIGS = {"data_gen.configs": "configs"}

setup(
    packages=[*find_packages(include=["seqvae*", "data_gen*"]), *CONFIGS],
    package_dir=CONFIGS,
    package_data={package: ["*.yaml", "**/*.yaml"] for package in CONFIGS},
)
