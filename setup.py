"""The packages; all other metadata is in pyproject.toml. Why: docs/adr/0003-configs-in-a-wheel.md."""

from __future__ import annotations

from setuptools import find_packages, setup

PACKAGES = ("seqvae", "data_gen")
# These folders sit at the top of the repository, for people. A wheel carries them inside the packages.
FOLDERS = {"data_gen.configs": "configs", "seqvae.pretrained": "pretrained"}
FILES = {
    "data_gen.configs": ["**/*.yaml"],
    "seqvae.pretrained": ["*/README.md", "*/model.safetensors"],  # not what rollout and evaluate put there
    "seqvae.nn": ["*.[ch]"],  # compiled when they are first needed
    "seqvae.dynamics": ["*.[ch]"],
    "seqvae.frames": ["*.c"],
    "seqvae.play": ["*.js", "page.html", "page.css"],
    # py.typed says that the annotations are there for type checkers of other projects
    **dict.fromkeys(PACKAGES, ["py.typed", "**/templates/*"]),
}

setup(
    packages=[*find_packages(include=[f"{package}*" for package in PACKAGES]), *FOLDERS],
    package_dir=FOLDERS,
    package_data=FILES,
    include_package_data=False,  # exactly the files above, whatever else lies in a folder
)
