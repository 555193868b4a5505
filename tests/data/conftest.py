"""A small dataset for the tests of the readers; its frames say where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data_gen.writer import create_dataset

N, T, SIZE, K = 7, 20, 8, 3


def make_arrays(actions=True):
    """imgs[n, t, 0, 0] is (n, t, 0), so that a frame can be recognised."""
    rng = np.random.default_rng(1)
    imgs = rng.integers(0, 256, (N, T, SIZE, SIZE, 3), dtype=np.uint8)
    imgs[:, :, 0, 0, 0] = np.arange(N)[:, None]
    imgs[:, :, 0, 0, 1] = np.arange(T)
    arrays = {
        "imgs": imgs,
        "positions": rng.uniform(0, 10, (N, T, K, 2)),
        "velocities": rng.normal(0, 1, (N, T, K, 2)),
        "sizes": np.full((N, T, K), 1.2, dtype=np.float32),
    }
    if actions:
        arrays["actions"] = rng.integers(0, 9, (N, T))
        arrays["rewards"] = -rng.integers(0, 2, (N, T)).astype(np.float32)
        arrays["dones"] = rng.random((N, T)) < 0.1
    return arrays


def write_dataset(path, arrays):
    attributes = {
        "simulator": "test",
        "config": {},
        "seed": 0,
        "dt": 1.0,
        "coord_limit": 10.0,
        "num_actions": 9 if "actions" in arrays else 0,
        "shape_names": ["disc"],
    }
    with create_dataset(path, len(arrays["imgs"]), attributes) as writer:
        writer.write(0, arrays)
    return path


def assert_same_clips(a, b):
    """Assert that two batches are equal, to the bit."""
    assert torch.equal(a.video, b.video)
    assert torch.equal(a.sequences, b.sequences) and torch.equal(a.starts, b.starts)
    for name in ("prev_actions", "rewards", "ends"):
        x, y = getattr(a, name), getattr(b, name)
        assert x is None and y is None or torch.equal(x, y)


@pytest.fixture(scope="session")
def arrays():
    return make_arrays()


@pytest.fixture(scope="session")
def dataset(arrays, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "train.h5", arrays)


@pytest.fixture(scope="session")
def without_actions(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "silent.h5", make_arrays(actions=False))
