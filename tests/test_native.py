"""C files: compiled once, kept whole, and done without where they cannot be compiled."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import pytest
import torch

from seqvae.nn import native

GOOD = "int twice(const float *x, float *y) { *y = 2 * *x; return 0; }\nint fail(void) { return 1; }\n"
AVAILABLE = native.library(native.HEADERS / "glimpse.c") is not None
needs_compiler = pytest.mark.skipif(not AVAILABLE, reason="needs a C compiler")


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A C file, and an empty folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.delenv("SEQVAE_NATIVE", raising=False)
    file = tmp_path / "own.c"
    file.write_text(GOOD)
    cached = native.library
    yield file
    cached.cache_clear()


def kept(source: Path) -> list[Path]:
    return sorted((source.parent / "temporary").glob("*/*.so"))


@needs_compiler
def test_a_file_is_compiled_once_and_again_when_it_changes(source):
    y = torch.zeros(1)
    native.call(source, "twice", torch.tensor([3.0]), y)
    assert y == 6 and len(kept(source)) == 1
    made = kept(source)[0].stat().st_mtime_ns
    native.library.cache_clear()
    native.call(source, "twice", torch.tensor([4.0]), y)
    assert y == 8 and kept(source)[0].stat().st_mtime_ns == made
    source.write_text(GOOD.replace("2 *", "3 *"))
    native.library.cache_clear()
    native.call(source, "twice", torch.tensor([4.0]), y)
    assert y == 12 and len(kept(source)) == 2


@needs_compiler
def test_what_a_killed_compiler_left_is_replaced(source):
    assert native.library(source) is not None
    (library,) = kept(source)
    library.rename(library.with_suffix(".unfinished"))
    library.with_suffix(".unfinished").write_bytes(b"half of a library")
    native.library.cache_clear()
    assert native.library(source) is not None and kept(source) == [library]
    assert not library.with_suffix(".unfinished").exists()


@needs_compiler
def test_a_function_that_fails_is_an_error(source):
    with pytest.raises(MemoryError, match=r"own\.c: no memory for fail"):
        native.call(source, "fail")


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler", "cc"])
def test_without_a_working_compiler_torch_computes_and_one_line_says_so(
    source, compiler, monkeypatch, caplog
):
    monkeypatch.setenv("CC", compiler)
    if compiler == "cc":
        source.write_text("int broken(")
    with caplog.at_level(logging.WARNING):
        assert native.library(source) is None and not native.usable(source, torch.zeros(1))
    (record,) = caplog.records
    assert record.getMessage().startswith("own is computed by torch, since its C code cannot be compiled: ")
    assert not kept(source)


def test_a_folder_that_others_can_write_is_not_used(source, caplog):
    folder = native._own_folder()
    folder.chmod(0o777)
    assert native.library(source) is None and "can be written by others" in caplog.text
    assert list(folder.iterdir()) == []


def test_it_can_be_switched_off(source, monkeypatch):
    monkeypatch.setenv("SEQVAE_NATIVE", "0")
    assert native.library(source) is None and not kept(source)


def test_only_plain_float32_tensors_of_the_cpu_are_read(source, monkeypatch):
    monkeypatch.setattr(native, "library", lambda source: object())
    assert native.usable(source, torch.zeros(1), torch.nn.Parameter(torch.zeros(1)))
    assert not native.usable(source, torch.zeros(1), torch.zeros(1, dtype=torch.float64))
    assert not native.usable(source, torch.zeros(1, device="meta"))
