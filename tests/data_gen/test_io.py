"""Files appear complete or not at all; a path that cannot be written is named."""

from __future__ import annotations

import pytest

from data_gen.errors import DataError
from data_gen.io import ErrorKeepingFile, atomic_path, atomic_write, output_path


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt" and not path.exists()
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_block_keeps_the_old_file_and_no_other(tmp_path, fault):
    path = tmp_path / "a.txt"
    atomic_write(path, lambda file: file.write(b"old"))
    with pytest.raises(fault), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise fault
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_unwritable_path_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    message = "file/a.txt: cannot be written .*; choose another folder$"
    with pytest.raises(DataError, match=message), output_path(tmp_path / "file" / "a.txt"):
        pass


def test_an_error_of_hdf5_passes_through(tmp_path):
    """It concerns a file that is read, which whoever reads it can name."""
    with pytest.raises(OSError, match="inflate"), output_path(tmp_path / "a.h5"):
        raise OSError("cannot read data (inflate() failed)")


def test_a_file_keeps_the_first_error_and_accepts_later_writes(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    file = ErrorKeepingFile(tmp_path / "a", "w")
    file.check()
    file.error = OSError(28, "No space left on device")
    assert file.write(b"more") == 4
    with pytest.raises(OSError, match="No space"):
        file.check()


def test_a_full_disk_is_told_whatever_the_writer_makes_of_it(tmp_path):
    """torch answers a failed write with an error of its own, on places in its archive."""

    def torch_on_a_full_disk(file):
        file.write(b"first")
        file.raw.error = OSError(28, "No space left on device")
        raise RuntimeError("unexpected pos 8768 vs 8662")

    atomic_write(tmp_path / "a", lambda file: file.write(b"old"))
    with pytest.raises(DataError, match="a: cannot be written .No space left on device.; make room"):
        atomic_write(tmp_path / "a", torch_on_a_full_disk)
    assert (tmp_path / "a").read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]
