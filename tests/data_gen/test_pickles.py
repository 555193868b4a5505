"""Pickles are read without running their code: arrays of every protocol and NumPy, and nothing else."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from data_gen.errors import DataError
from data_gen.formats.pickles import PickleWriter, read_pickle
from tests.refusals import refusal

GOOD = {
    "float": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(5, dtype=">f8"),
    "bytes": np.arange(256, dtype=np.uint8),
    "bools": np.array([[True, False]]),
    "empty": np.zeros((0, 3), np.float32),
    "none": np.array(3.5),
    "scalar": np.float64(1.2),
    "inside": [np.arange(3), (np.int64(4), {"deep": np.ones(2)})],
    "number": 7,
    "text": "AvoidanceTask",
    "null": None,
}


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b) and (not hasattr(a, "shape") or a.shape == b.shape)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."])
def test_arrays_of_every_protocol_and_numpy_are_read(tmp_path, protocol, core):
    path = tmp_path / "a.pkl"
    path.write_bytes(renamed(pickle.dumps(GOOD, protocol), core))
    assert same(GOOD, read_pickle(path))


def renamed(data, core):
    """Rewrite a pickle as a NumPy with its modules in `core` would have written it."""
    if data[2:3] == pickle.FRAME:  # length of a frame, which would no longer be true
        data = data[:2] + data[11:]
    for old_core in (b"numpy._core.", b"numpy.core."):
        for old, new in ((old_core + name, core + name) for name in (b"multiarray", b"numeric")):
            data = data.replace(b"c" + old + b"\n", b"c" + new + b"\n")  # GLOBAL and SHORT_BINUNICODE
            data = data.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
    assert core in data
    return data


class Calls:
    """Object that is pickled as the call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def by_name(module, name, *arguments):
    """Return a pickle that calls module.name(*arguments), which need not exist."""
    return (
        b"\x80\x04"
        + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
        + b"\x93"
        + pickle.dumps(arguments, 3)[2:-1]
        + b"R."
    )


def attacks(folder):
    flag = str(folder / "flag")
    touch = f"touch {flag}"
    yield "posix.system", pickle.dumps(Calls(os.system, touch))
    yield "builtins.eval", pickle.dumps(Calls(eval, f"open({flag!r}, 'w')"))
    yield "builtins.exec", pickle.dumps({"X": [Calls(exec, f"open({flag!r}, 'w')")]})
    yield "posix.system", pickle.dumps({"X": np.ones(3), "m": (1, {"deep": Calls(os.system, touch)})}, 2)
    yield "builtins.getattr", pickle.dumps(Calls(getattr, np.ones(1), "tofile"))
    yield "numpy.load", by_name("numpy", "load", flag)
    yield "numpy.save", by_name("numpy", "save", flag, [1])
    yield "numpy.memmap", by_name("numpy", "memmap", flag, "uint8", "w+", 0, (8,))
    yield "numpy.f2py.compile", by_name("numpy.f2py", "compile", "end")
    yield "numpy.testing.rundocs", by_name("numpy.testing", "rundocs", flag)
    yield "numpy.core.multiarray.fromfile", by_name("numpy.core.multiarray", "fromfile", flag)
    yield (
        "numpy._core.multiarray._reconstruct.__globals__",
        by_name("numpy._core.multiarray", "_reconstruct.__globals__", 1),
    )
    yield "pickle.loads", by_name("pickle", "loads", pickle.dumps(Calls(os.system, touch)))
    yield "data_gen.formats.pickles.read_pickle", by_name("data_gen.formats.pickles", "read_pickle", flag)
    yield "collections.OrderedDict", by_name("collections", "OrderedDict")
    yield r"a\nb.c", by_name("a\nb", "c")


def test_everything_else_is_refused_by_name_and_does_not_run(tmp_path):
    for name, content in attacks(tmp_path):
        path = tmp_path / "evil.pkl"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_pickle(path)
        message = str(caught.value)
        assert f"{path}: names '{name}', which is refused" in message and "\n" not in message
        assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.pkl"]


def state_of(shape, dtype, data):
    """Return the pickle of an array with an arbitrary state: numpy's _reconstruct, then BUILD."""
    start = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return start + b"(K\x01" + pickle.dumps(shape, 3)[2:-1] + dtype + b"\x89" + data + b"tb."


FLOATS = pickle.dumps(np.dtype("f8"), 3)[2:-1]
# A type of Python objects that claims to hold none: NumPy would read the bytes as addresses.
DISGUISED = b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R"
DISGUISED += b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
FORGED = {
    "objects as numbers": state_of((1,), DISGUISED, b"C\x08AAAAAAAA"),
    "objects": pickle.dumps(np.array([{}], dtype=object)),
    "records": pickle.dumps(np.zeros(2, "f8,i4")),
    "texts": pickle.dumps(np.array(["a"])),
    "too few bytes": state_of((3,), FLOATS, b"C\x08AAAAAAAA"),
    "too many bytes": state_of((1,), FLOATS, b"C\x10" + b"A" * 16),
    "a huge shape": state_of((10**12, 10**12), FLOATS, b"C\x08AAAAAAAA"),
    "a negative shape": state_of((-1,), FLOATS, b"C\x08AAAAAAAA"),
    "data that are none": state_of((1,), FLOATS, b"K\x01"),
    "a type that is none": state_of((1,), b"K\x01", b"C\x08AAAAAAAA"),
    "an array called": by_name("numpy", "ndarray", (10**12,), "f8"),
    "a subclass": by_name("numpy.core.multiarray", "_reconstruct", None, (0,), b"b"),
    "another codec": by_name("_codecs", "encode", "text", "zip"),
    "a stand-in with attributes": b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",
    "bytes without end": b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
    "a persistent id": b"Pname\n.",
    "an empty stack": b"\x80\x02.",
    "deep nesting": b"\x80\x02" + b"(" * 10**5,
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_and_damaged_pickles_are_reported_in_one_line(tmp_path, name):
    path = tmp_path / "a.pkl"
    path.write_bytes(FORGED[name])
    assert refusal(read_pickle, path, error=DataError).startswith(f"{path}: ")


def test_a_pickle_that_numbers_its_objects_from_two_billion_takes_no_memory(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    tracemalloc.start()
    assert read_pickle(path) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_an_array_that_lies_in_many_places_is_gone_through_once(tmp_path):
    value = [np.arange(3)]
    for _ in range(100):
        value = [value, value]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value))
    found = read_pickle(path)
    assert found[0] is found[1] and found[0][0] is found[1][1]


def test_an_array_shares_the_memory_of_its_bytes(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(np.arange(1000.0), 4))
    array = read_pickle(path)
    assert not array.flags.owndata and not array.flags.writeable


def test_an_array_written_in_blocks_is_read_by_pickle(tmp_path, rng):
    whole = rng.normal(size=(7, 2, 3))
    with (tmp_path / "a.pkl").open("wb") as file:
        writer = PickleWriter(file, {"r": 1.2, "n": 3, "name": "x"})
        writer.array("X", whole.shape, (whole[i : i + 3] for i in (0, 3, 6)))
        writer.array("none", (0, 2), [])
        writer.close()
    for content in (pickle.loads((tmp_path / "a.pkl").read_bytes()), read_pickle(tmp_path / "a.pkl")):
        assert same(content, {"r": 1.2, "n": 3, "name": "x", "X": whole, "none": np.zeros((0, 2))})
