"""A wheel works from any folder: everything it needs is in it, and nothing of the checkout is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import seqvae

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
FOLDERS = {
    "seqvae": "seqvae",
    "data_gen": "data_gen",
    "configs": "data_gen/configs",
    "pretrained": "seqvae/pretrained",
}
UNWANTED = shutil.ignore_patterns("__pycache__", "rollout", "evaluation", "sheet.png")  # made by the commands
BUILD = "from setuptools import build_meta; print(build_meta.build_{}({!r}))"


def run(*command: object, cwd: Path, **environment: str) -> str:
    clean = {name: x for name, x in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Build the "sdist" or "wheel" of a source folder, without the network."""
    out.mkdir(exist_ok=True)
    name = run(sys.executable, "-c", BUILD.format(kind, str(out)), cwd=source).splitlines()[-1]
    return out / name


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout with nothing else in it, and a template of a package in a folder of its own."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=UNWANTED)
    templates = folder / "seqvae/evaluate/templates"
    templates.mkdir(exist_ok=True)
    (templates / "page.html.j2").write_text("a page")
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    """The wheel, by way of the sdist."""
    work = tmp_path_factory.mktemp("built")
    with tarfile.open(build("sdist", source, work)) as archive:
        archive.extractall(work, filter="data")
    return build("wheel", work / f"seqvae-{seqvae.__version__}", work / "wheels")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_source_and_no_other(source, wheel, tmp_path):
    inside = contents(wheel)
    expected = {
        f"{place}/{file.relative_to(source / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for file in (source / folder).rglob("*")
        if file.is_file()
    }
    assert {
        "seqvae/py.typed",
        "data_gen/configs/train.yaml",
        "seqvae/evaluate/templates/page.html.j2",
    } <= expected
    assert {name for name in inside if ".dist-info/" not in name} == expected
    assert wheel.name.startswith(f"seqvae-{seqvae.__version__}-")
    (scripts,) = [text.decode() for name, text in inside.items() if name.endswith("entry_points.txt")]
    assert "seqvae = seqvae.__main__:console" in scripts and "data_gen = data_gen.__main__:console" in scripts

    direct = contents(build("wheel", source, tmp_path / "direct"))
    assert {n: x for n, x in direct.items() if "dist-info" not in n} == {
        n: x for n, x in inside.items() if "dist-info" not in n
    }


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A bare environment with the wheel, and the dependencies that this Python has, but not its checkout.

    The dependencies come by a .pth file with folders, in which further .pth files, such as that of an
    editable installation of the checkout, have no effect.
    """
    env = tmp_path_factory.mktemp("env")
    run(sys.executable, "-m", "venv", "--without-pip", env, cwd=env)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", env / "bin/python"]
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=env)
    (site,) = env.glob("lib/python*/site-packages")
    paths = sysconfig.get_paths()
    (site / "dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    return env / "bin"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="folders of a POSIX environment")
def test_the_installed_commands_work_from_another_folder(installed, tmp_path):
    threads = {"OMP_NUM_THREADS": "1"}

    def program(name: str, *words: str) -> str:
        return run(installed / name, *words, cwd=tmp_path, **threads)

    assert program("seqvae", "--version") == f"seqvae {seqvae.__version__}\n"
    assert program("data_gen", "--version") == f"data_gen {seqvae.__version__}\n"
    program("data_gen", "sim=billiards", "train=8", "val=2", "test=2", "length=20", "workers=1")
    options = ("steps=20", "batch_size=4", "validate_every=20", "validation_sequences=2")
    program("seqvae", "train", "model=stove", "run=runs/small", *(f"trainer.{option}" for option in options))
    table = program("seqvae", "evaluate", "run=runs/small", "horizon=12", "iwae=0", "videos=1")
    assert "position error" in table and "data=data/billiards/test.h5" in table
    program("seqvae", "rollout", "run=stove_billiards", "data=data/billiards/test.h5", "horizon=12")
    metrics = json.loads((tmp_path / "runs/small/evaluation/metrics.json").read_text())
    assert metrics["updates"] == 20 and metrics["training_versions"]["seqvae"] == seqvae.__version__
    assert (tmp_path / "runs/stove_billiards/rollout/rollout.mp4").stat().st_size > 1000

    ask = """
import sys, seqvae, data_gen.cli.command
model = seqvae.load("stove_gravity")
assert {"air_digits", "stove_billiards", "vrnn_billiards"} < set(seqvae.pretrained())
ours = [m for name, m in sys.modules.items() if name.split(".")[0] in ("seqvae", "data_gen")]
files = [m.__file__ for m in ours if m.__file__]
print(len(files), {file.startswith(sys.prefix) for file in [*files, str(data_gen.cli.command.CONFIGS)]})
"""
    count, places = run(installed / "python", "-c", ask, cwd=tmp_path, **threads).split(maxsplit=1)
    assert int(count) > 20 and places.strip() == "{True}"
