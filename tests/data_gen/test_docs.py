"""The pages on data hold: their code and commands run in order, and their tables name what exists."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import data_gen.__main__
import seqvae.cli.main
from data_gen.formats import IMPORTS, ImportOptions
from data_gen.schema import _ATTRIBUTES, _OPTIONAL_ATTRIBUTES, FIELDS
from tests.data_gen.foreign import contents

DOCS = Path(__file__).parents[2] / "docs"
MAINS = {"data_gen": data_gen.__main__.main, "seqvae": seqvae.cli.main.main}


def steps(page: str) -> list[tuple[str, str]]:
    """Return ("python", code) and ("command", line) in their order; commands with FILE are patterns."""
    found = []
    for code, command in re.findall(r"```python\n(.*?)```|^    (python -m [^\n]*)$", page, re.S | re.M):
        if code:
            found.append(("python", code))
        elif "FILE" not in command:
            found.append(("command", command))
    return found


@pytest.mark.parametrize("name", ["dataset_format", "own_data"])
def test_code_and_commands_of_a_page_run_in_order(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    found = steps((DOCS / f"{name}.md").read_text())
    assert {kind for kind, _ in found} == {"python", "command"}
    for kind, text in found:
        if kind == "python":
            exec(compile(text, name, "exec"), names)
            continue
        _, _, package, *words = shlex.split(text)
        assert MAINS[package](words) == 0, text
    if name == "own_data":
        small, disc = contents(Path("disc_small/train.h5")), contents(Path("disc/train.h5"))
        np.testing.assert_allclose(small["positions"], disc["positions"] * 16 / 64)
        np.testing.assert_array_equal(disc["masks"] * 255, disc["imgs"][..., 0])
        assert contents(Path("disc_frames/train.h5")).keys() == {"imgs", "sources"}


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of all tables by their first cell, without its quotes."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if "|" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_the_page_of_the_format_names_every_key_and_attribute():
    table = rows((DOCS / "dataset_format.md").read_text())
    for key, field in FIELDS.items():
        axes, dtype = table[key][:2]
        assert axes.strip("`") == field.axes.replace("c", "3")
        assert dtype == np.dtype(field.dtype).name
    assert {*_ATTRIBUTES, *_OPTIONAL_ATTRIBUTES} <= {
        name.strip(" `") for key in table for name in key.split(",")
    }


def test_the_page_of_the_import_names_every_format_and_option():
    page = (DOCS / "own_data.md").read_text()
    for name in IMPORTS:
        assert f"`{name}`" in page or f"`format={name}`" in page
    for field in fields(ImportOptions):
        if field.name not in ("data", "out"):
            assert f"`{field.name}=" in page
