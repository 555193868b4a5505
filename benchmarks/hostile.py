"""Hostile files of data: sound bytes with a structure that no program of ours would write."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Hostile = Callable[[Path, Path], None]
DEEP = 100_000  # levels, more than Python's stack has


def nested(levels: int = 5000) -> Any:
    """Return a dict in a dict in a dict ..."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


# ---- datasets


def _attribute(key: str, value: Any) -> Hostile:
    def write(source: Path, target: Path) -> None:
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            del file.attrs[key]
            if value is not None:
                file.attrs[key] = value

    return write


def _array(key: str, make: Callable[[h5py.File], Any]) -> Hostile:
    """Replace an array of a dataset by what `make` returns, or by what it makes itself."""

    def write(source: Path, target: Path) -> None:
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            made = make(file)
            if key in file:
                del file[key]
            if made is not None:
                file[key] = made

    return write


def _huge(key: str, shape: tuple[int, ...], dtype: str) -> Hostile:
    """Claim an array of terabytes, of which nothing is stored."""

    def write(source: Path, target: Path) -> None:
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            del file[key]
            chunks = (1, *(min(max(size, 1), 64) for size in shape[1:]))
            file.create_dataset(key, shape, dtype, chunks=chunks, compression="gzip")

    return write


_ODD = (
    None,
    [1, 2, 3],
    float("inf"),
    float("-inf"),
    float("nan"),
    -1,
    0,
    2**63 - 1,
    1e308,
    "",
    "many",
    b"\xff\xfe",
    np.zeros((2, 2)),
    np.zeros(0),
    h5py.Empty("f"),
    np.bool_(True),
)
_KEYS = ("format", "format_version", "simulator", "config", "seed", "dt", "coord_limit", "num_actions")
DATASETS: dict[str, Hostile] = {
    f"{key}={value!r:.30}": _attribute(key, value)
    for key in (*_KEYS, "shape_names", "package_version")
    for value in _ODD
}
DATASETS |= {
    "config nested deeply": _attribute("config", '{"a":' * 20_000 + "1" + "}" * 20_000),
    "config of lists nested deeply": _attribute("config", "[" * 30_000 + "]" * 30_000),
    "config is a list": _attribute("config", "[1, 2]"),
    "config without a world": _attribute("config", '{"simulator": 3}'),
    "config with a huge number": _attribute("config", '{"length": 1' + "0" * 5000 + "}"),
    "world of another": _attribute("config", '{"simulator": {"_target_": "os.system"}}'),
    "frames of terabytes": _huge("imgs", (10**6, 1000, 64, 64, 3), "u1"),
    "frames of gigabytes": _huge("imgs", (4, 8, 12_000, 12_000, 3), "u1"),
    "no frames": _huge("imgs", (0, 8, 16, 16, 3), "u1"),
    "frames of size 0": _huge("imgs", (4, 8, 0, 16, 3), "u1"),
    "sequences of length 0": _huge("imgs", (4, 0, 16, 16, 3), "u1"),
    "frames are a group": _array("imgs", lambda file: file.create_group("imgs2") and None),
    "frames are empty": _array("imgs", lambda file: h5py.Empty("u1")),
    "frames are a scalar": _array("imgs", lambda file: np.uint8(3)),
    "frames lie in another file": _array("imgs", lambda file: h5py.ExternalLink("/etc/passwd", "x")),
    "frames lead to themselves": _array("imgs", lambda file: h5py.SoftLink("/imgs")),
    "actions out of range": _array("actions", lambda file: np.full((4, 8), 2**40)),
    "negative actions": _array("actions", lambda file: np.full((4, 8), -5)),
    "positions not a number": _array("positions", lambda file: file["positions"][:] * np.nan),
    "positions beyond all numbers": _array("positions", lambda file: file["positions"][:] * 1e300),
    "objects without number": _array("positions", lambda file: np.zeros((4, 8, 0, 2))),
    "shapes out of range": _array("shapes", lambda file: np.full(file["sizes"].shape, 99)),
    "rewards not a number": _array("rewards", lambda file: np.full((4, 8), np.nan, np.float32)),
    "type of 10 bits": _array("positions", lambda file: file["positions"][:].astype("f2")),
}

# ---- arrays of NumPy


def _header(text: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _npz(header: bytes, data: bytes = bytes(64), pack: bool = False) -> Hostile:
    def write(source: Path, target: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
        with zipfile.ZipFile(target, "w", kind) as archive:
            archive.writestr("frames.npy", _header(header, data))

    return write


def _described(shape: str, descr: str = "'|u1'", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()


NUMPY_FILES: dict[str, Hostile] = {
    "terabytes": _npz(_described("(1000000, 1000, 64, 64, 3)")),
    "terabytes, compressed": _npz(_described("(1000000, 1000, 64, 64, 3)"), pack=True),
    "more than all numbers": _npz(_described(f"({2**62}, {2**62}, 64, 64, 3)")),
    "negative": _npz(_described("(-1, 8, 16, 16, 3)")),
    "no whole number": _npz(_described("(1.5, 8, 16, 16, 3)")),
    "a call": _npz(_described("__import__('os').getcwd()")),
    "nested": _npz(_described("(" * 3000 + ")" * 3000)),
    "no dict": _npz(b"[1, 2, 3]\n"),
    "bad syntax": _npz(b"{'descr': \n"),
    "indentation": _npz(b"   {\n 'a'\n  'b'\n"),
    "type of tuples": _npz(_described("(4, 8, 16, 16, 3)", "[('a', '<f8'), ('b', '<f8')]")),
    "type of 2 GiB": _npz(_described("(4, 8, 16, 16, 3)", "'|V2000000000'")),
    "type of objects": _npz(_described("(4, 8, 16, 16, 3)", "'|O'")),
    "dates": _npz(_described("(4, 8, 16, 16, 3)", "'<M8[s]'"), bytes(8 * 4 * 8 * 768)),
    "complex": _npz(_described("(4, 8, 16, 16, 3)", "'<c16'"), bytes(16 * 4 * 8 * 768)),
    "not a number": _npz(_described("(4, 8, 16, 16, 3)", "'<f8'"), np.full(4 * 8 * 768, np.nan).tobytes()),
    "bomb": _npz(_described("(1, 8, 16, 16, 3)"), bytes(200 * 2**20), pack=True),
}

# ---- Zarr


def _zarr(key: str, value: Any) -> Hostile:
    def write(source: Path, target: Path) -> None:
        shutil.copytree(source, target)
        for file in (target / "imgs" / "zarr.json", target / "zarr.json"):
            content = json.loads(file.read_text())
            place = content.get("consolidated_metadata") or {"metadata": {"imgs": content}}
            place["metadata"].get("imgs", {})[key] = value
            file.write_text(json.dumps(content))

    return write


_REGULAR = {"name": "regular", "configuration": {"chunk_shape": [1, 8, 16, 16, 3]}}
ZARRS: dict[str, Hostile] = {
    "terabytes": _zarr("shape", [10**6, 1000, 64, 64, 3]),
    "gigabytes": _zarr("shape", [4, 8, 12_000, 12_000, 3]),
    "negative": _zarr("shape", [-4, 8, 16, 16, 3]),
    "no shape": _zarr("shape", None),
    "chunks of gigabytes": _zarr(
        "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6, 10**3, 16, 3]}}
    ),
    "chunks of size 0": _zarr(
        "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [0, 8, 16, 16, 3]}}
    ),
    "another grid": _zarr("chunk_grid", {"name": "spiral"}),
    "unknown codec": _zarr("codecs", [{"name": "code", "configuration": {}}]),
    "another type": _zarr("data_type", "float64"),
    "no type": _zarr("data_type", {"name": "x"}),
    "fill value": _zarr("fill_value", "many"),
    "format": _zarr("zarr_format", 99),
    "nested": _zarr("attributes", nested(900)),
}

# ---- pickles


def with_bytes(content: bytes) -> Hostile:
    """Return the function that writes these bytes."""
    return lambda source, target: target.write_bytes(content) and None


PICKLES: dict[str, Hostile] = {
    "memo of gigabytes": with_bytes(b"\x80\x04}r\xff\xff\xff\x0f."),
    "memo of 32 bits": with_bytes(b"\x80\x04}r\xff\xff\xff\x7f."),
    "bytes of terabytes": with_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**42) + b"abc."),
    "text of gigabytes": with_bytes(b"\x80\x04\x8d" + struct.pack("<Q", 2**33) + b"abc."),
    "frame of terabytes": with_bytes(b"\x80\x04\x95" + struct.pack("<Q", 2**42) + b"N."),
    "nested": with_bytes(b"\x80\x04" + b"]" * DEEP + b"a" * (DEEP - 1) + b"."),
    "contains itself": with_bytes(b"\x80\x04]q\x00h\x00a."),
    "command": with_bytes(b"cos\nsystem\n(S'echo ran code'\ntR."),
    "number of megabytes": with_bytes(b"\x80\x04\x8b" + struct.pack("<I", 2**24) + b"\x7f" * 2**24 + b"."),
    "doubled thirty times": with_bytes(
        b"\x80\x04]q\x00"
        + b"".join(b"](" + (b"h" + bytes([i])) * 2 + b"eq" + bytes([i + 1]) for i in range(30))
        + b"."
    ),
    "no dict": with_bytes(b"\x80\x04]."),
}

# ---- GIF


def _gif(width: int, height: int, frames: int, size: tuple[int, int] = (1, 1)) -> Hostile:
    """Write frames of 1 pixel on a large canvas; size: of each frame as it claims to be."""
    frame = b"!\xf9\x04\x04\x0a\0\0\0" + b"," + struct.pack("<HHHH", 0, 0, *size) + b"\0\x02\x02\x44\x01\0"
    start = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return with_bytes(start + frame * frames + b";")


GIFS: dict[str, Hostile] = {
    "canvas of gigabytes": _gif(65535, 65535, 3),
    "canvas of 16,000": _gif(16_000, 16_000, 3),
    "canvas of 12,000": _gif(12_000, 12_000, 20),
    "canvas of 8,000": _gif(8_000, 8_000, 50),
    "10,000 frames of 2,000": _gif(2_000, 2_000, 10_000),
    "frames larger than the canvas": _gif(16, 16, 3, (60_000, 60_000)),
    "no canvas": _gif(0, 0, 3),
    "no frame": _gif(16, 16, 0),
}
