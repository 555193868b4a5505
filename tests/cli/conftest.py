"""A small dataset for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.__main__ import main as data_gen


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A folder with train.h5, val.h5 and test.h5."""
    folder = tmp_path_factory.mktemp("data") / "billiards"
    sizes = ["train=4", "val=2", "test=2", "length=12", "image_size=16", "workers=1"]
    assert data_gen(["sim=billiards", f"out={folder}", *sizes]) == 0
    return folder
