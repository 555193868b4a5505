"""The packages; all other metadata is in pyproject.toml. Why: docs/adr/0003-configs-in-a-wheel.md."""

from __future__ import annotations

from setuptools import find_packages, setup

PACKAGES = ("seqvae", "data_gen")
# configs/ sits at the top of the repository, for people to read. A wheel carries it inside data_gen.
CONFIGS = {"data_gen.configs": "configs"}
YAMLS = dict.fromkeys(CONFIGS, ["*.yaml", "**/*.yaml"])
PAGES = {"seqvae.report": ["templates/*"]}  # of reports: templates, style and script
TYPED = dict.fromkeys(PACKAGES, ["py.typed"])  # the annotations are there for type checkers of other projects

setup(
    packages=[*find_packages(include=[f"{package}*" for package in PACKAGES]), *CONFIGS],
    package_dir=CONFIGS,
    package_data=YAMLS | PAGES | TYPED,
)
