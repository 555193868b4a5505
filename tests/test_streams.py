"""No stream of random numbers repeats those of another, with equal seeds for everything."""

from __future__ import annotations

import ast
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from data_gen.sims.billiards import Billiards
from data_gen.splits import BLOCK, SPLITS, Split, make_sequences
from seqvae.cli.main import main
from seqvae.streams import Stream, seed_sequence
from seqvae.train.runtime import seed_everything

ROOT = Path(__file__).parents[1]
WORDS = 8  # two streams of 32-bit words that agree nowhere in so many places are different streams
TRAINING = [
    "data=online",
    "sim=billiards",
    "image_size=16",
    "online.length=12",
    "online.sequences=4",
    "workers=0",
    "experiment=stove_billiards",
    "model.dynamics.width=8",
    "trainer.context=4",
    "trainer.validation_sequences=2",
    *(
        f"stages.{stage}.trainer.{key}"
        for stage in ("objects", "places", "motion", "spread")
        for key in ("steps=2", "batch_size=2", "clip_length=9", "validate_every=2")
    ),
]


def words_of_torch() -> tuple[int, ...]:
    return tuple(torch.randint(2**32, (WORDS,)).tolist())


def words_of_numpy(seeds: np.random.SeedSequence) -> tuple[int, ...]:
    """The words that a generator is seeded with: all that its numbers depend on."""
    return tuple(seeds.generate_state(WORDS).tolist())


def require_different(streams: dict[object, tuple[int, ...]]) -> None:
    for (a, first), (b, second) in combinations(streams.items(), 2):
        assert not any(x == y for x, y in zip(first, second, strict=True)), (a, b)


@pytest.fixture
def opened(monkeypatch) -> dict[str, set]:
    """The seeds that torch and NumPy are given from now on; NumPy's by the package that asks."""
    seeds = {"torch": set(), "data_gen": set(), "seqvae": set()}
    seed_torch, sequence = torch.manual_seed, np.random.SeedSequence

    def seed_and_record(number):
        seeds["torch"].add(number)
        return seed_torch(number)

    def made_and_recorded(key):
        package = sys._getframe(1).f_globals["__name__"].split(".")[0]
        seeds.setdefault(package, set()).add(tuple(key))
        return sequence(key)

    monkeypatch.setattr(torch, "manual_seed", seed_and_record)
    monkeypatch.setattr(np.random, "SeedSequence", made_and_recorded)
    return seeds


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_all_streams_of_one_seed_differ(seed, opened):
    for split in SPLITS:
        make_sequences(Split(Billiards(), split, 2 * BLOCK, 2, 4, seed), 0, 2 * BLOCK)
    assert len(opened["data_gen"]) == 6
    streams = {key: words_of_numpy(np.random.SeedSequence(key)) for key in opened["data_gen"]}
    for stream in Stream:
        for numbers in [(a, b) for a in range(3) for b in range(2)]:
            streams[stream, numbers] = words_of_numpy(seed_sequence(stream, seed, *numbers))
            seed_everything(seed, stream, *numbers)
            streams["torch", stream, numbers] = words_of_torch()
    require_different(streams)


@pytest.mark.parametrize("seed", [0, 3, 2**32, (2**31 - 1) * 2**32, 2**63 - 1])
def test_no_data_seed_gives_the_key_of_a_stream(seed):
    words = []
    while seed:
        words, seed = [*words, seed % 2**32], seed // 2**32
    key = [*(words or [0]), 2, 0]  # seed, split, block, as NumPy takes them apart
    assert key[1] < min(Stream)


def test_a_training_repeats_neither_its_own_numbers_nor_those_of_its_data(tmp_path, opened):
    assert main(["train", *TRAINING, f"run={tmp_path / 'run'}", "seed=0", "online.seed=0"]) == 0
    assert len(opened["torch"]) == 6  # weights, four stages, validation
    assert opened["data_gen"] and opened["seqvae"] and not opened["data_gen"] & opened["seqvae"]
    keys = opened["data_gen"] | opened["seqvae"]
    streams = {key: words_of_numpy(np.random.SeedSequence(key)) for key in keys}
    require_different(streams)


def test_streams_are_opened_in_one_place():
    names, found = {"SeedSequence", "default_rng", "manual_seed", "seed_all"}, set()
    for file in {*ROOT.glob("seqvae/**/*.py")} - {*ROOT.glob("seqvae/contracts/*.py")}:  # those are tests
        nodes = ast.walk(ast.parse(file.read_text()))
        if names & {node.attr for node in nodes if isinstance(node, ast.Attribute)}:
            found.add(file.relative_to(ROOT).as_posix())
    assert found == {"seqvae/streams.py", "seqvae/train/runtime.py"}
