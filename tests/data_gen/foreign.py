"""Small datasets for the tests of formats: of our simulators, and as other programs write them."""

from __future__ import annotations

import h5py
import numpy as np

from data_gen.convert import import_data
from data_gen.formats import ImportOptions
from data_gen.sims.avoidance import Avoidance
from data_gen.sims.billiards import Billiards
from data_gen.sims.gravity import Gravity
from data_gen.splits import Split, make_sequences
from data_gen.writer import create_dataset

WORLDS = {"billiards": Billiards(), "gravity": Gravity(), "avoidance": Avoidance()}


def write_ours(path, name="billiards", sequences=5, length=6, size=16, **more):
    """Write a dataset file of a simulator, with `more` arrays, and return all its arrays."""
    world = WORLDS[name]
    arrays = make_sequences(Split(world, "train", sequences, length, size, seed=1), 0, sequences) | more
    attributes = {
        "simulator": name,
        "config": {},
        "seed": 1,
        "dt": 1.0,
        "coord_limit": world.limit,
        "num_actions": world.num_actions,
        "shape_names": world.shape_names,
    }
    with create_dataset(path, sequences, attributes) as writer:
        writer.write(0, arrays)
    return arrays


def gswm_arrays(rng, n=3, t=5, size=12, k=4):
    """Return arrays as G-SWM writes them: float64 but for the frames; the last object never exists."""
    present = np.ones((n, t, k))
    present[..., -1] = 0
    in_camera = present * (rng.uniform(size=(n, t, k)) < 0.7)
    return {
        "imgs": rng.integers(0, 256, (n, t, size, size, 3), dtype=np.uint8),
        "layers": np.zeros((n, t, k)),
        "positions": rng.uniform(0, size, (n, t, k, 2)) * in_camera[..., None],
        "velocities": rng.normal(size=(n, t, k, 2)),
        "masses": np.ones((n, t, k)),
        "sizes": 8.0 * in_camera,
        "ids": np.cumsum(np.ones((n, t, k)), -1) * in_camera,
        "present": present,
        "colors": rng.uniform(size=(n, t, k, 3)),
        "shapes": rng.integers(0, 5, (n, t, k)).astype(float),
        "in_camera": in_camera,
    }


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def import_files(form, data, out, **options):
    """Import a file or folder of another format."""
    import_data(ImportOptions(form, str(data), str(out), **options))


def contents(path):
    """Return the arrays of an HDF5 file."""
    with h5py.File(path) as file:
        return {key: file[key][:] for key in file}
