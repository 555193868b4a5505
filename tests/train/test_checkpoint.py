"""Checkpoint files: whole or not there, read without running code, refused in one line."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

import seqvae
from data_gen.cli.configs import compose
from seqvae import checkpoint, weights
from seqvae.aliases import with_former_defaults
from seqvae.build import DataSpec, build
from seqvae.checkpoint import BEST, LAST, Checkpoint
from seqvae.errors import UserError
from seqvae.provenance import Provenance, commits
from tests.refusals import refusal

SPEC = DataSpec(height=16, width=16, channels=3, actions=0, objects=2, coord_limit=10.0)


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    config = {"model": compose("train", ["model=stove"])["model"]}
    return Checkpoint(7, config, SPEC, dict(build(config["model"], SPEC).state_dict()), {"loss": 1.5})


def refused(path) -> str:
    """Return the message, which names the file, with which its last checkpoint is refused."""
    message = refusal(lambda: checkpoint.load_model(path, which="last"))
    assert str(path) in message
    return message


def test_a_model_comes_back_with_its_weights_config_and_data(tmp_path, trained):
    checkpoint.save(tmp_path / BEST, trained)
    model = seqvae.load(tmp_path)
    assert not model.training
    assert model.spec == SPEC and model.config == trained.config["model"]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in trained.model.items())
    again = checkpoint.load(tmp_path / BEST)
    assert (again.step, again.scores, again.training) == (7, {"loss": 1.5}, None)


def test_the_commit_of_the_training_is_kept_and_older_files_have_none(tmp_path, trained):
    checkpoint.save(tmp_path / LAST, replace(trained, commit="abc+changes"))
    assert checkpoint.load(tmp_path / LAST).commit == "abc+changes"
    content = torch.load(tmp_path / LAST, weights_only=True)
    assert content["version"] == checkpoint.VERSION
    del content["commit"]
    torch.save(content, tmp_path / LAST)
    assert checkpoint.load(tmp_path / LAST).commit is None
    assert commits(None, "b") == "unknown, then b" and commits("a", "a") == "a"
    assert commits("a, then b", "b") == "a, then b" and commits("a", None) == "a, then unknown"


def test_versions_and_checksums_are_kept_and_older_files_have_none(tmp_path, trained):
    origin = {"versions": {"torch": "2.9"}, "data": {"train.h5": "ab"}}
    checkpoint.save(tmp_path / LAST, replace(trained, **origin))
    assert checkpoint.load(tmp_path / LAST).provenance == Provenance(None, **origin)
    content = torch.load(tmp_path / LAST, weights_only=True)
    assert content.pop("versions") and content.pop("data")
    torch.save(content, tmp_path / LAST)
    assert checkpoint.load(tmp_path / LAST).provenance == Provenance()


def test_older_files_keep_the_defaults_that_they_were_trained_with(tmp_path, trained):
    """Version 1 is from before innovations and impacts; a config says only what differs from the defaults."""
    checkpoint.save(tmp_path / LAST, trained)
    checkpoint.save_weights(tmp_path / weights.FILE, trained)
    for file in (LAST, weights.FILE):
        model = checkpoint.load(tmp_path / file).build()
        assert model.posterior.innovation and model.dynamics.impact

    content = torch.load(tmp_path / LAST, weights_only=True)
    torch.save(content | {"version": 1}, tmp_path / LAST)
    about = weights.read_weights(tmp_path / weights.FILE)
    tensors = about.pop("model")
    weights.write_weights(tmp_path / weights.FILE, tensors, about | {"version": 1})
    for file in (LAST, weights.FILE):
        model = checkpoint.load(tmp_path / file).build()
        assert not model.posterior.innovation and not model.dynamics.impact

    given = {"posterior": {"_target_": "seqvae.posteriors.fused.Fused", "innovation": True}}
    assert with_former_defaults({"model": [given]}) == {"model": [given]}


def test_a_continued_training_names_what_was_before():
    now = Provenance("b", {"torch": "2.13"}, {"train.h5": "cd"})
    assert now.after(now) == now
    before = Provenance("a", {"torch": "2.9"}, {"old.h5": "ab"})
    assert now.after(before) == Provenance(
        "a, then b", {"torch": "2.9, then 2.13"}, {"old.h5": "ab", "train.h5": "cd"}
    )
    unknown = Provenance("unknown, then b", {"torch": "unknown, then 2.13"}, {"train.h5": "unknown, then cd"})
    assert now.after(Provenance()) == unknown


def test_best_falls_back_to_last_and_last_never_to_best(tmp_path, trained):
    checkpoint.save(tmp_path / LAST, trained)
    assert checkpoint.find(tmp_path, "best") == tmp_path / LAST
    (tmp_path / LAST).rename(tmp_path / BEST)
    assert checkpoint.find(tmp_path, "best") == tmp_path / BEST
    assert "no checkpoint" in refused(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, trained):
    checkpoint.save(tmp_path / LAST, trained)
    before = (tmp_path / LAST).read_bytes()

    def fail_half_way(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.atomic_write(tmp_path / LAST, fail_half_way)
    assert (tmp_path / LAST).read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [LAST]


def test_files_are_readable_as_the_umask_says(tmp_path, trained):
    checkpoint.save(tmp_path / LAST, trained)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / LAST).stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, trained, share):
    path = tmp_path / LAST
    checkpoint.save(path, trained)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "file.pt"
    path.write_text("these are no weights")
    refused(path)
    torch.save({"weights": torch.zeros(3)}, path)
    assert "is no seqvae checkpoint" in refused(path)
    assert "no such" in refused(tmp_path / "missing.pt")


class Trap:
    """Unpickling this would make a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path):
    content = {"format": checkpoint.FORMAT, "version": 1, "step": Trap(tmp_path / "sprung")}
    torch.save(content, tmp_path / "x.pt")
    assert "could run code" in refused(tmp_path / "x.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_that_names_foreign_code_is_refused(tmp_path, trained):
    config = {"model": trained.config["model"] | {"frame": {"_target_": "os.mkdir", "path": "sprung"}}}
    checkpoint.save(tmp_path / LAST, replace(trained, config=config))
    with pytest.raises(UserError, match="os.mkdir is not loaded"):
        checkpoint.load_model(tmp_path / LAST)


def test_weights_of_another_model_are_refused(tmp_path, trained):
    other = {"model": compose("train", ["model=stove", "model.dynamics.width=8"])["model"]}
    checkpoint.save(tmp_path / LAST, replace(trained, config=other))
    assert "weights of another model" in refused(tmp_path / LAST)


def test_a_newer_format_is_refused(tmp_path, trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
        checkpoint.save(tmp_path / LAST, trained)
    assert "update seqvae" in refused(tmp_path / LAST)
