"""The files around the code agree: pyproject.toml, the lock, environment.yml, README, CITATION.cff."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import data_gen
import seqvae

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge's name is another
UNLOCKED = ("wandb", "mlflow")  # extras that the environments of developers and CI go without: large


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> dict[str, SpecifierSet]:
    """Name -> range, dependencies and all extras but those UNLOCKED."""
    project = pyproject()
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in UNLOCKED}
    lines = [*project["dependencies"], *sum(extras.values(), [])]
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def test_conda_environment_equals_pyproject():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    of_pip = lines.pop()["pip"]
    assert of_pip[0] == "-e .", "conda users get the project itself through pip"
    conda = {}
    for line in [*lines, *of_pip[1:]]:
        if line != "pip":
            name, _, versions = line.partition(" ")
            conda[name] = SpecifierSet(versions)
    expected = {CONDA_NAMES.get(name, name): versions for name, versions in declared().items()}
    expected["python"] = SpecifierSet(pyproject()["requires-python"])
    assert conda == expected


def test_lock_pins_every_dependency_within_its_range():
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==" and "+" not in pin.version, f"{line} is no plain pin"
            pins[canonicalize_name(requirement.name)] = pin.version
    for name, versions in declared().items():
        assert name in pins, f"{name} is not in requirements.lock: run 'make lock'"
        assert versions.contains(pins[name]), f"{name}=={pins[name]} is outside {versions}: run 'make lock'"
    assert "setuptools" in pins, "make venv installs the project without fetching a build backend"


def test_the_lock_is_made_with_every_extra_that_is_locked():
    named = re.findall(r"--extra (\w+)", (ROOT / "tools/lock.sh").read_text())
    assert {*named, *UNLOCKED} == pyproject()["optional-dependencies"].keys()


def test_citation_and_changelog_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == seqvae.__version__
    released = re.findall(r"^## \[([0-9.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == seqvae.__version__
    assert citation["license"] == pyproject()["license"]


def test_the_version_is_known_to_a_checkout_that_is_not_installed(tmp_path):
    ask = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import seqvae; print(seqvae.__version__)"
    alone = [sys.executable, "-I", "-S", "-c", ask]  # -S: without site-packages
    answer = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == seqvae.__version__ == data_gen.__version__


def test_the_installed_project_has_the_version_of_the_code():
    try:
        installed = version("seqvae")
    except PackageNotFoundError:
        pytest.skip("the project is not installed")
    assert installed == seqvae.__version__


def test_readme_shows_what_make_demo_runs():
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    dry_run = ["make", "--dry-run", "demo", "PY=python"]
    printed = subprocess.run(dry_run, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    commands = re.findall(r"python -m (?:data_gen|seqvae) .*", printed.stdout)
    assert len(commands) == 5
    readme = (ROOT / "README.md").read_text()
    for command in commands:
        assert f"    {command}\n" in readme


def test_ci_calls_targets_of_the_makefile_on_every_python_that_is_supported():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = {line.split()[1] for line in lines if line.startswith("make ")}
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert {"lint", "types", "docs", "test"} <= called <= set(targets)
    supported = SpecifierSet(pyproject()["requires-python"])
    pythons = [f"3.{minor}" for minor in range(30) if supported.contains(f"3.{minor}")]
    assert jobs["test"]["strategy"]["matrix"]["python"] == pythons
    (extras,) = [extra for line in lines for extra in re.findall(r'"\.\[(.*)\]"', line)]
    assert {*extras.split(","), "docs", "lint"} == pyproject()["optional-dependencies"].keys()


def test_pre_commit_has_the_ruff_of_the_lock():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (revision,) = [repo["rev"] for repo in hooks if repo["repo"].endswith("/ruff-pre-commit")]
    assert f"ruff=={revision.removeprefix('v')}" in (ROOT / "requirements.lock").read_text().splitlines()


def test_a_test_that_hangs_fails_and_the_others_still_run(tmp_path):
    tests = "import time\ndef test_hangs():\n    time.sleep(60)\ndef test_after_it():\n    pass\n"
    (tmp_path / "test_two.py").write_text(tests)
    options = ["-c", ROOT / "pyproject.toml", "-o", "timeout=1", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, tmp_path / "test_two.py"]
    printed = subprocess.run(command, capture_output=True, text=True).stdout
    assert "1 failed, 1 passed" in printed and "Timeout" in printed, printed
