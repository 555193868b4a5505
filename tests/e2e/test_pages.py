"""The pages of docs/: code and notebooks run, commands exist, and the warnings are the real ones."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from data_gen.cli.command import CONFIGS
from data_gen.cli.configs import check_overrides, flatten
from data_gen.cli.main import COMMANDS as DATA_COMMANDS
from data_gen.cli.overrides import PATHS, parse_overrides
from seqvae.cli.main import COMMANDS, main
from seqvae.train.diagnostics import BatchStatistics, SlotStatistics, warnings
from tests.worlds import make_data

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))
PAGES = [page for page in sorted(DOCS.glob("*.md")) if page.name not in ("log.md", "results.md")]

LENGTH = 20
TINY = [f"trainer.{key}" for key in ("steps=2", "batch_size=2", "clip_length=5", "context=4")]
FEWER = {  # page -> text in its code or a notebook -> the text of a smaller test
    "sizing.md": {"sequences: int = 100": "sequences: int = 2"},
    "filter_and_imagine.py": {"test=64": "test=11", "draws = 0, 50": "draws = 0, 3"},
    "latents_and_probe.py": {"test=120": "test=12", "TRAIN, RIDGE = 80": "TRAIN, RIDGE = 8"},
    "change_a_slot.py": {"SEQUENCES = 8, 20, 128": "SEQUENCES = 8, 20, 16"},
}
AFTER = {
    "sizing.md": "assert predicted_error(2, 2) < 0.05 < predicted_error(2, 3)"
}  # the code defines a function


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


def is_run_here(page: Path) -> bool:
    """Pages with code that another test runs are named in that test."""
    others = [file for file in (ROOT / "tests").rglob("*.py") if file != Path(__file__)]
    return not any(page.name in file.read_text() for file in others)


WITH_CODE = [page for page in PAGES if python_blocks(page) and is_run_here(page)]


def smaller(name: str, code: str) -> str:
    for text, replacement in FEWER.get(name, {}).items():
        assert text in code, f"{name} has no {text!r} any more"
        code = code.replace(text, replacement)
    return code


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder as a reader of the pages has it, with small data and a run on data with actions."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "pretrained").symlink_to(ROOT / "pretrained")
    make_data(folder / "data/billiards", "billiards", "test=8", f"length={LENGTH}")
    (folder / "data/look").symlink_to(folder / "data/billiards")
    data = make_data(folder / "data/avoidance", "avoidance", "train=2", "test=8", f"length={LENGTH}")
    run = folder / "runs/avoidance"
    assert main(["train", "model=stove_reward", f"data={data / 'train.h5'}", f"run={run}", *TINY]) == 0
    return folder


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return place


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, here):
    names: dict = {}
    for number, block in enumerate([*python_blocks(page), AFTER.get(page.name, "")]):
        exec(
            compile(smaller(page.name, block) if number == 0 else block, f"{page.name}[{number}]", "exec"),
            names,
        )


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook, here):
    plt = pytest.importorskip("matplotlib.pyplot")
    pytest.importorskip("pandas")
    plt.switch_backend("Agg")
    exec(compile(smaller(notebook.name, notebook.read_text()), notebook.name, "exec"), {})
    figures = plt.get_fignums()
    plt.close("all")
    assert figures, "a notebook has a picture worth a look"


def commands() -> list[tuple[str, str]]:
    """Page and command of each `python -m seqvae ...` that stands on a line of its own."""
    pattern = re.compile(
        r"^ +(?:\$ )?(?:torchrun .*?-m|python -m) ((?:seqvae|data_gen) ?(?:[^\\\n]|\\\n)*)", re.M
    )
    return [
        (page.name, line.replace("\\\n", " ")) for page in PAGES for line in pattern.findall(page.read_text())
    ]


@pytest.mark.parametrize("page", sorted({page for page, _ in commands()}))
def test_keys_and_options_of_the_commands_exist(page):
    for text in [text for name, text in commands() if name == page]:
        program, *words = shlex.split(text, comments=True)
        known = COMMANDS if program == "seqvae" else DATA_COMMANDS
        name = words.pop(0) if words and words[0] in known else "generate"
        command = known[name]
        if (
            "--config-dir" in words or "hydra/" in text
        ):  # configs of the reader, plugins that are not installed
            continue
        overrides = [word for word in words if "=" in word and not word.startswith("hydra.")]
        check_overrides(
            command.config, parse_overrides(overrides, PATHS.get(command.config, ()), "-m" in words)
        )


def test_the_commands_of_the_first_page_run(here):
    """The rollout and evaluation of five minutes, on small data."""
    shutil.rmtree(here / "runs/look", ignore_errors=True)
    text = (DOCS / "start.md").read_text().replace("\\\n", "")
    for command, small in (("rollout", ["horizon=12"]), ("evaluate", ["iwae=0", "videos=0"])):
        (words,) = re.findall(rf"^    python -m seqvae ({command} run=stove_.*)$", text, re.M)
        assert main([*words.split(), *small]) == 0
    assert (here / "runs/look/rollout.gif").is_file() and (here / "runs/scores/metrics.json").is_file()


def test_the_command_reference_has_every_key_with_its_default():
    """The tables are made from the yamls by their lines; what a config is, Hydra says."""
    pytest.importorskip("mkdocs")
    page = importlib.import_module("tools.site.pages").commands_page()
    for program, commands in (("seqvae", COMMANDS), ("data_gen", DATA_COMMANDS)):
        for command in commands.values():
            section = page.partition(f"## {program} {command.name}\n")[2].partition("\n## ")[0]
            keys = yaml.safe_load((CONFIGS / f"{command.config}.yaml").read_text())
            keys.pop("defaults", None)
            for key, value in flatten(keys).items():
                default = "*required*" if value == "???" else rf"`{re.escape(str(value))}`"
                default = {"`None`": "`null`", "`True`": "`true`", "`False`": "`false`"}.get(default, default)
                row = rf"^\| `{re.escape(key)}` \| {default.replace('*', chr(92) + '*')} \| "
                assert re.search(row, section, re.M), f"{command.name}: {key}"


def test_the_page_on_faults_has_every_warning_word_for_word():
    slots = (
        SlotStatistics(0, mass=1.0),
        SlotStatistics(1, at_limit=0.84),
        SlotStatistics(2, spread=0.012),
    )
    batch = BatchStatistics(slots, shared=0.37, kl=4213.0, std={"position": 1.4})
    found = {**warnings(batch), **warnings(BatchStatistics(counts=(1.0, 0, 0, 0)))}
    found |= warnings(BatchStatistics(counts=(0, 0, 0, 1.0)))
    assert len(found) == 8
    page = (DOCS / "troubleshooting.md").read_text()
    for text in found.values():
        assert f'!!! warning "{text}"' in page
