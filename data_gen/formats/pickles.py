"""Pickles of NumPy arrays, read without running their code, and written array by array.

A pickle is a program: it may call any function that it can name. Here it can name only stand-ins for the
functions that rebuild NumPy arrays, under the module paths of any NumPy version. The stand-ins record bytes,
type and shape; the arrays are then built here, of plain numbers alone, and share the memory of the bytes.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from data_gen.errors import DataError
from data_gen.io import unreadable

_BYTE_ORDER: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle of arrays, numbers, texts and plain containers.

    Raises:
        DataError: the pickle names anything else, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _unwrap(_RestrictedUnpickler(_Bounded(file, path.stat().st_size), path).load(), {})
    except DataError:
        raise
    except OSError as error:
        raise unreadable(path, error) from None
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory; import parts of it") from None
    except Exception as error:  # a damaged pickle can make the unpickler raise almost anything
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: is no whole pickle ({problem}); copy it again") from None


class _StandIn:
    """Stand-in for an object of NumPy that a pickle may name; accepts no state unless a subclass does."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise ValueError("an object is given a state that it does not have")


class _NDArray(_StandIn):
    """numpy.ndarray: never called, only passed to _Array."""

    def __init__(self, *_: object) -> None:
        raise ValueError("arrays come by way of _reconstruct")


class _DType(_StandIn):
    """numpy.dtype: numbers only, so that no byte is read as an address."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not re.fullmatch(r"[biuf][1248]", code):
            raise ValueError(f"arrays of type {code!r} are refused, only numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(_BYTE_ORDER[state[1]])


class _Array(_StandIn):
    """numpy's _reconstruct, which makes an array that its state fills."""

    __slots__ = ("array",)

    def __init__(self, kind: type, shape: tuple, code: bytes) -> None:
        if kind is not _NDArray:
            raise ValueError("only plain arrays are read")

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _build_array(data, dtype, shape, "F" if fortran else "C")


class _FromBuffer(_StandIn):
    """numpy's _frombuffer, which pickles of protocol 5 call."""

    __slots__ = ("array",)

    def __init__(self, data: bytes, dtype: _DType, shape: tuple, order: str) -> None:
        self.array = _build_array(data, dtype, shape, order)


class _Scalar(_StandIn):
    """numpy's scalar: one number."""

    __slots__ = ("array",)

    def __init__(self, dtype: _DType, data: bytes) -> None:
        self.array = _build_array(data, dtype, (), "C")[()]


class _Latin1(_StandIn):
    """_codecs.encode, with which protocols before 3 write bytes: of latin-1 only."""

    def __new__(cls, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise ValueError(f"the encoding {encoding!r} is refused")
        return text.encode("latin1")


class _NoBytes(_StandIn):
    """bytes, with which protocols before 3 write those of an empty array."""

    def __new__(cls) -> bytes:
        return b""


_ALLOWED = {
    ("numpy", "ndarray"): _NDArray,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Latin1,
    ("__builtin__", "bytes"): _NoBytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _Scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _FromBuffer


class _Bounded:
    """A file that refuses to read more bytes than it has, before memory is made for them."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._size - self._file.tell():
            raise EOFError("it ends too early")
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined]  of a buffered file


class _RestrictedUnpickler(pickle._Unpickler):
    """Unpickler that finds no names but the allowed ones.

    The one in Python: that in C makes room for as many objects as a pickle says, at 16 bytes each.
    """

    def __init__(self, file: _Bounded, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> type:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise DataError(
                f"{self.path}: names {ascii(f'{module}.{name}')}, which is refused: a pickle can run "
                "code, and only NumPy arrays and plain containers are read"
            ) from None


def _build_array(data: bytes, dtype: _DType, shape: tuple, order: str) -> np.ndarray:
    if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, _DType):
        raise ValueError("an array of Python objects is refused")
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape}")
    if order not in ("C", "F"):
        raise ValueError(f"an array has the order {order!r}")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _unwrap(value: Any, done: dict[int, Any]) -> Any:
    """Replace stand-ins by the arrays that they recorded, also inside dicts, lists and tuples.

    done: results by the id of the container: one that lies in many places is gone through once.
    """
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        done[id(value)] = {key: _unwrap(item, done) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        done[id(value)] = type(value)(_unwrap(item, done) for item in value)
    else:
        return value.array if isinstance(value, (_Array, _FromBuffer, _Scalar)) else value
    return done[id(value)]


class PickleWriter:
    """Writer of a dict as a pickle, piece by piece: its arrays are never in memory as a whole.

    Any Python from 3.4 on and any NumPy can load the file.
    """

    def __init__(self, file: BinaryIO, values: dict[str, Any]) -> None:
        """Begin the pickle with `values`, the entries of the dict that are no arrays."""
        self._file = file
        file.write(pickle.PROTO + b"\4" + _fragment(values))

    def array(self, name: str, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
        """Add an array of float64 under `name`, from successive blocks along its first axis."""
        begin = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        begin += _fragment((0,)) + _fragment(b"b") + pickle.TUPLE3 + pickle.REDUCE
        dtype = np.dtype("<f8")
        state = pickle.MARK + b"".join(map(_fragment, (1, shape, dtype, False)))
        size = struct.pack("<Q", int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        self._file.write(_fragment(name) + begin + state + pickle.BINBYTES8 + size)
        for block in blocks:
            self._file.write(np.ascontiguousarray(block, dtype).data)
        self._file.write(pickle.TUPLE + pickle.BUILD + pickle.SETITEM)

    def close(self) -> None:
        """End the pickle; the file stays open."""
        self._file.write(pickle.STOP)


def _fragment(value: Any) -> bytes:
    """Return the part of a pickle that puts a value on the stack (protocol 3, which has no frames)."""
    return pickle.dumps(value, protocol=3)[2:-1]
