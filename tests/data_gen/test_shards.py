"""Shards hold together what one file holds, are read as one dataset, and are refused if they are not one."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_gen.__main__ import main
from data_gen.card import CARD, checksum, compute_statistics
from data_gen.errors import DataError
from data_gen.schema import dataset_file, open_dataset, read_info
from data_gen.shards import ShardedFile, datasets_in, find_shards, shard_path
from data_gen.sims.billiards import Billiards
from data_gen.splits import BLOCK, Split
from tests.data_gen.foreign import write_ours

SMALL = ("length=3", "image_size=8", "workers=1")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def make(folder: Path, *words: str) -> int:
    return main([f"out={folder}", *SMALL, *words])


def make_all(folder: Path, shards: int, *words: str) -> None:
    assert make(folder, "-m", f"shard=range({shards})", f"shards={shards}", *words) == 0


def arrays(path: Path) -> dict[str, np.ndarray]:
    with open_dataset(path) as file:
        return {key: file[key][:] for key in file}


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> Path:
    """A folder with 200 training sequences in three shards."""
    folder = tmp_path_factory.mktemp("shards") / "billiards"
    make_all(folder, 3, "train=200", "val=2", "test=2")
    return folder


@pytest.mark.parametrize("sim", ["billiards6", "avoidance", "digits"])
def test_shards_together_are_the_arrays_of_one_file(tmp_path, sim):
    """Also of a world that rejects sequences, one with actions, and one with images of its own per split."""
    if sim == "digits":
        pytest.importorskip("sklearn.datasets")
    words = [f"sim={sim}", "train=150", "val=3", "test=3", "seed=5"]
    assert make(tmp_path / "one", *words) == 0
    make_all(tmp_path / "many", 3, *words)
    assert names(tmp_path / "many") == [
        CARD, "multirun.yaml", "test.h5", *(f"train-0000{i}-of-00003.h5" for i in range(3)), "val.h5"
    ]  # fmt: skip
    for split in ("train", "val", "test"):
        one, many = (arrays(tmp_path / folder / f"{split}.h5") for folder in ("one", "many"))
        assert one.keys() == many.keys()
        for key in one:
            assert one[key].dtype == many[key].dtype
            np.testing.assert_array_equal(one[key], many[key])


def test_shards_are_whole_blocks_and_nearly_equal():
    for sequences, shards in ((1_000_000, 64), (BLOCK + 1, 2), (10 * BLOCK - 1, 3)):
        rows = [Split(Billiards(), "train", sequences, 3, 8, 0, i, shards).rows for i in range(shards)]
        assert rows[0].start == 0 and rows[-1].stop == sequences
        assert all(a.stop == b.start for a, b in zip(rows, rows[1:], strict=False))
        assert all(r.start % BLOCK == 0 for r in rows)
        blocks = [-(-len(r) // BLOCK) for r in rows]
        assert max(blocks) - min(blocks) <= 1


def test_any_range_of_sequences_is_read_as_from_one_array(tmp_path):
    whole = np.random.default_rng(0).normal(size=(11, 3, 3, 2))
    for i, part in enumerate(np.split(whole, [4, 5])):
        write_ours(shard_path(tmp_path / "a.h5", i, 3), sequences=len(part), length=3, positions=part)
    with open_dataset(tmp_path / "a.h5") as file:
        assert isinstance(file, ShardedFile) and "positions" in file and "masks" not in file
        array = file["positions"]
        assert array.shape == whole.shape and array.ndim == 4 and len(array) == 11
        for start in range(-12, 13):
            for stop in (*range(-12, 13), None):
                np.testing.assert_array_equal(array[start:stop, 1:, 0], whole[start:stop, 1:, 0])
        for i in range(-11, 11):
            np.testing.assert_array_equal(array[i], whole[i])
            np.testing.assert_array_equal(array[i, 1], whole[i, 1])
            np.testing.assert_array_equal(array[np.int64(i), :2], whole[i, :2])
        for i in (-12, 11):
            with pytest.raises(IndexError):
                array[i]
        with pytest.raises(TypeError, match="steps of 1"):
            array[::2]


def test_only_some_files_are_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("data_gen.shards._OPEN_FILES", 2)
    for i in range(5):
        frames = np.full((1, 2, 8, 8, 3), i, np.uint8)
        write_ours(shard_path(tmp_path / "a.h5", i, 5), sequences=1, length=2, imgs=frames)
    with open_dataset(tmp_path / "a.h5") as file:
        for i in (0, 4, 2, 2, 0, 3):
            assert (file["imgs"][i] == i).all()
            assert len(file._files) <= 2
        assert [int(x) for x in file["imgs"][:, 0, 0, 0, 0]] == [0, 1, 2, 3, 4]
        opened = list(file._files.values())
    assert not file._files and not any(opened)  # a closed file of HDF5 is false


def test_a_dataset_in_shards_describes_itself_as_one(sharded):
    info = read_info(sharded / "train.h5")
    assert (info.path, info.sequences, info.length) == (sharded / "train.h5", 200, 3)
    assert info.config["sequences"] == 200 and "shard" not in info.config and info.config["shards"] == 3
    assert [file.name for file in info.files] == [f"train-0000{i}-of-00003.h5" for i in range(3)]
    assert read_info(info.files[1]).sequences == BLOCK  # a shard is a dataset of its own
    assert dataset_file(sharded, "train") == sharded / "train.h5"
    assert datasets_in(sharded) == [sharded / f"{split}.h5" for split in ("test", "train", "val")]


def test_the_card_counts_all_shards_and_its_command_makes_them_again(sharded, tmp_path, monkeypatch):
    card = (sharded / CARD).read_text()
    assert "| sequences | 200 | 2 | 2 |" in card and "| files | 3 | 1 | 1 |" in card
    (line,) = (line.strip() for line in card.splitlines() if line.startswith("    python -m data_gen"))
    assert main([*shlex.split(line)[3:], f"out={tmp_path / 'again'}", "workers=1"]) == 0
    digests = []
    for i in range(3):
        file = shard_path(tmp_path / "again" / "train.h5", i, 3)
        digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
        assert f"    {digests[-1]}  {file.name}\n" in card
    joined = hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()
    assert checksum(sharded / "train.h5") == joined and f"    {joined}  train.h5\n" in card
    monkeypatch.setattr("data_gen.card.LARGE", 0)
    monkeypatch.setattr("data_gen.card._compute_checksum", None)  # that of the card is taken
    assert checksum(sharded / "train.h5") == joined


def test_statistics_are_those_of_one_file(sharded, tmp_path):
    assert make(tmp_path, "train=200", "val=0", "test=0") == 0
    one, many = (compute_statistics(read_info(folder / "train.h5")) for folder in (tmp_path, sharded))
    assert one.speed == many.speed and (one.kinetic_energy == many.kinetic_energy).all()


def test_only_the_last_job_writes_the_card(tmp_path, capsys):
    for shard, left in ((2, 2), (0, 1)):
        assert make(tmp_path, "train=200", "val=1", "test=0", f"shard={shard}", "shards=3") == 0
        assert f"shards still to be made: {left}" in capsys.readouterr().out
        assert not (tmp_path / CARD).exists()
    assert make(tmp_path, "train=200", "val=1", "test=0", "shard=1", "shards=3") == 0
    assert "| sequences | 200 | 1 |" in (tmp_path / CARD).read_text()
    before = (tmp_path / "train-00001-of-00003.h5").stat().st_mtime_ns
    assert make(tmp_path, "train=200", "val=1", "test=0", "shard=1", "shards=3") == 0
    assert "train-00001-of-00003.h5: already there" in capsys.readouterr().out
    assert (tmp_path / "train-00001-of-00003.h5").stat().st_mtime_ns == before


def test_a_sweep_over_shards_and_worlds_has_a_folder_per_world(tmp_path, capsys):
    words = ["train=128", "val=0", "test=0", "sim=billiards,gravity"]
    make_all(tmp_path / "sweep", 2, *words)
    shards = [f"train-0000{i}-of-00002.h5" for i in range(2)]
    assert capsys.readouterr().err.count("(shard=1)\n") == 2
    for sim in ("billiards", "gravity"):
        assert names(tmp_path / "sweep" / f"sim={sim}") == [CARD, *shards]


def test_without_a_name_the_shards_lie_where_one_file_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *SMALL, "train=128", "val=0", "test=0", "shard=0,1", "shards=2"]) == 0
    assert find_shards(Path("data/billiards/train.h5"))


def test_a_failed_shard_is_named(tmp_path, capsys):
    assert make(tmp_path, "-m", "train=128", "shard=0,2", "shards=2") == 2
    said = capsys.readouterr().err
    assert "data_gen [shard=2]: shard=2: must be a whole number of at least 0 and at most 1\n" in said
    assert "1 jobs in" in said and "failed" in said


BAD = {
    ("shards=2",): "say which one this job makes, shard=0 to shard=1, or all of them: -m 'shard=range(2)'",
    ("shard=1",): "shard=1: say of how many, shards=N",
    ("shards=1", "shard=0"): "shards=1: must be a whole number of at least 2",
    ("shards=2", "shard=2"): "shard=2: must be a whole number of at least 0 and at most 1",
    ("shards=2", "shard=0", "train=0"): "shards=2: divide the training set, so give train= a size",
    ("shards=5", "shard=0", "train=200"): "shards=5: train=200 has 4 blocks of 64 sequences",
}


@pytest.mark.parametrize("words", BAD)
def test_shards_that_cannot_be_are_one_line(tmp_path, capsys, words):
    assert make(tmp_path / "new", "train=200", "val=0", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert BAD[words] in line and not (tmp_path / "new").exists()


def test_one_dataset_in_two_divisions_is_never_made(tmp_path, capsys):
    words = ("train=200", "val=0", "test=0")
    assert make(tmp_path, *words, "shard=1", "shards=2") == 0
    for other in (("shard=0", "shards=3"), ("overwrite=true",)):
        assert make(tmp_path, *words, *other) == 2
        assert "train-00001-of-00002.h5 of the same dataset exists; remove it" in capsys.readouterr().err
    (tmp_path / "train-00001-of-00002.h5").unlink()
    assert make(tmp_path, *words) == 0
    assert make(tmp_path, *words, "shard=1", "shards=2") == 2
    assert "train.h5 of the same dataset exists" in capsys.readouterr().err


def spoil_missing(folder):
    for i in (0, 2):
        shard_path(folder / "train.h5", i, 3).unlink()
    names = "train-00000-of-00003.h5, train-00002-of-00003.h5"
    return f"train.h5: lacks 2 of its 3 shards ({names}); make or copy them"


def spoil_counts(folder):
    shutil.copy(shard_path(folder / "train.h5", 1, 3), shard_path(folder / "train.h5", 1, 4))
    names = "train-00000-of-00003.h5, train-00001-of-00004.h5"
    return f"shards of 3 and 4 lie together ({names}); remove those of one set"


def spoil_seed(folder):
    other = folder / "other"
    assert make(other, "train=200", "val=0", "test=0", "seed=1", "shard=1", "shards=3") == 0
    shutil.copy(shard_path(other / "train.h5", 1, 3), shard_path(folder / "train.h5", 1, 3))
    return "train-00001-of-00003.h5 has config.seed=1, train-00000-of-00003.h5 has config.seed=0"


def spoil_total(folder):
    """Shards of a larger training set begin alike, and would be taken for those of the smaller one."""
    other = folder / "other"
    assert make(other, "train=600", "val=0", "test=0", "shard=1", "shards=3") == 0
    shutil.copy(shard_path(other / "train.h5", 1, 3), shard_path(folder / "train.h5", 1, 3))
    return (
        "train-00001-of-00003.h5 has config.sequences=600, train-00000-of-00003.h5 has config.sequences=200"
    )


def spoil_name(folder):
    shutil.copy(shard_path(folder / "train.h5", 0, 3), shard_path(folder / "train.h5", 1, 3))
    return "train-00001-of-00003.h5: is shard 0 of train.h5, renamed"


def spoil_size(folder):
    write_ours(shard_path(folder / "train.h5", 2, 3), sequences=2, length=3, size=16)
    return "train-00002-of-00003.h5 has "


def spoil_file(folder):
    shutil.copy(shard_path(folder / "train.h5", 0, 3), folder / "train.h5")
    return "train.h5: lies beside shards of the same name (train-00000-of-00003.h5, train-00001-of-00003.h5, "


def spoil_bytes(folder):
    shard_path(folder / "train.h5", 1, 3).write_bytes(b"no HDF5")
    return "train-00001-of-00003.h5: is not a readable HDF5 file"


SPOILERS = [value for name, value in list(globals().items()) if name.startswith("spoil_")]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_what_is_no_whole_dataset_is_refused_by_name(sharded, tmp_path, capsys, spoil):
    folder = tmp_path / "data"
    shutil.copytree(sharded, folder)
    message = spoil(folder)
    for read in (open_dataset, read_info):
        with pytest.raises(DataError) as caught:
            read(folder / "train.h5")
        assert message in str(caught.value) and "\n" not in str(caught.value)
    capsys.readouterr()
    for words in (
        ["preview", f"data={folder / 'train.h5'}"],
        ["export", "format=gswm", f"data={folder / 'train.h5'}", f"out={tmp_path / 'out'}"],
    ):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_an_export_is_one_file(sharded, tmp_path):
    assert main(["export", "format=gswm", f"data={sharded}", f"out={tmp_path}"]) == 0
    assert names(tmp_path) == ["test.hdf5", "train.hdf5", "val.hdf5"]
    assert main(["import", f"data={tmp_path / 'train.hdf5'}", f"out={tmp_path / 'back'}"]) == 0
    np.testing.assert_array_equal(
        arrays(tmp_path / "back" / "train.h5")["imgs"], arrays(sharded / "train.h5")["imgs"]
    )


def test_an_import_does_not_lie_beside_shards(sharded, tmp_path, capsys):
    shutil.copytree(sharded, tmp_path / "data")
    np.savez(tmp_path / "a.npz", frames=np.zeros((2, 3, 8, 8, 3), np.uint8))
    words = ["import", f"data={tmp_path / 'a.npz'}", f"out={tmp_path / 'data'}", "overwrite=true"]
    assert main([*words, "format=npz"]) == 2
    assert "train.h5: exists in 3 files (train-00000-of-00003.h5); remove them" in capsys.readouterr().err


def test_a_preview_is_that_of_one_file(sharded, tmp_path):
    assert main(["preview", f"data={sharded / 'train.h5'}", f"out={tmp_path}", "frames=2"]) == 0
    assert names(tmp_path) == ["preview.mp4", "sheet.png", "statistics.png"]
