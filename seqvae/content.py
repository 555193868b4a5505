"""Checks of a checkpoint's content before any of it is used: types, ranges and sizes.

A file may be damaged, or come from a stranger. What passes here has the types that Checkpoint documents, and
its config makes parts of a size that the file can hold the weights of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seqvae.errors import UserError
from seqvae.io import is_nested_deeply
from seqvae.types import DataSpec

_MOST_STEPS = 2**53
_MOST_PIXELS, _LONGEST_SIDE = 2**22, 2**13  # of a frame
_LARGEST_NUMBER = 2**16  # of whole numbers in the config of a model, such as widths and counts
_SMALL = 2**28  # bytes that the making of any model may take
PARTS = ("frame", "posterior", "dynamics")


@contextmanager
def content_checked(path: str | Path, remedy: str = "copy it again") -> Iterator[None]:
    """Turn any exception inside the block, which works on the content of one file, into a UserError."""
    try:
        yield
    except UserError as error:
        named = str(error).startswith(str(path))
        raise (error if named else UserError(f"{path}: {error}")) from None
    except ImportError:  # of the installation
        raise
    except MemoryError:
        raise UserError(f"{path}: asks for more memory than there is; {remedy}") from None
    except Exception as error:  # whatever follows from values that nobody expected
        problem = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise UserError(f"{path}: its content is damaged ({problem:.160}); {remedy}") from None


class memory_limited(TorchDispatchMode):  # noqa: N801  a context, like the one above
    """Raise UserError inside the context when tensors are made of many more bytes than the weights have.

    Otherwise a config of one line could ask for parts that no machine holds.
    """

    def __init__(self, weights: int) -> None:
        """Take the bytes of the weights, which the parts are made for."""
        super().__init__()
        self.left = _SMALL + 16 * weights

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.left -= result.nbytes
            if self.left < 0:
                raise UserError("config.model: asks for parts of many more numbers than there are weights")
        return result


def check_content(content: Mapping[str, Any], size: int) -> None:
    """Raise UserError unless a checkpoint's fields, as Checkpoint has them, are of their types and ranges.

    size: of the file in bytes, which no tensor exceeds
    """
    _require("step", is_whole(content["step"], 0, _MOST_STEPS))
    _require("scores", _is_dict(content["scores"], is_real))
    _require("training", content["training"] is None or isinstance(content["training"], dict))
    _require("commit", content["commit"] is None or isinstance(content["commit"], str))
    for key in ("versions", "data"):
        _require(key, content[key] is None or _is_dict(content[key], lambda x: isinstance(x, str)))
    _require("model", _is_dict(content["model"], lambda x: is_stored(x, size)))
    check_config(content["config"])


def check_config(config: Any) -> None:
    """Raise UserError unless a config of a training has the structure that readers rely on."""
    _require("config", isinstance(config, dict) and not is_nested_deeply(config) and _has_text_keys(config))
    for key in ("choices", "trainer", "optim", "objective", "stages"):
        _require(f"config.{key}", config.get(key) is None or isinstance(config[key], dict))
    for stage in (config.get("stages") or {}).values():
        own = stage or {}
        is_sound = isinstance(own, dict) and isinstance(own.get("trainer") or {}, dict)
        _require("config.stages", is_sound)
    for key in ("data", "val"):
        _require(f"config.{key}", config.get(key) is None or isinstance(config[key], str))
    plugins = config.get("plugins") or []
    names = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    _require("config.plugins", all(isinstance(name, str) for name in names))
    model = config.get("model") or {}
    _require("config.model", "model" in config and isinstance(model, dict))
    for part in (*PARTS, "reward"):
        named = model.get(part)
        is_part = isinstance(named, dict) and isinstance(named.get("_target_"), str)
        _require(f"config.model.{part}", named is None or is_part)


def check_model(model: Mapping[str, Any]) -> None:
    """Raise UserError unless the config of a model names its parts, and no huge number."""
    for part in PARTS:
        _require(f"config.model.{part}", model.get(part) is not None)
    for number in _whole_numbers(model):
        if abs(number) > _LARGEST_NUMBER:
            raise UserError(f"config.model: has the number {str(number):.20}, above {_LARGEST_NUMBER}")


def read_spec(values: Any) -> DataSpec:
    """Return the size of the data that a model was made for.

    Raises:
        UserError: it is no such size.
    """
    _require("spec", isinstance(values, dict) and values.keys() <= {f.name for f in fields(DataSpec)})
    spec = DataSpec(**values)
    for key in ("height", "width"):
        _require(f"spec.{key}", is_whole(getattr(spec, key), 1, _LONGEST_SIDE))
    _require("spec", spec.height * spec.width <= _MOST_PIXELS)
    _require("spec.channels", is_whole(spec.channels, 1, 16))
    _require("spec.actions", is_whole(spec.actions, 0, _LARGEST_NUMBER))
    _require("spec.objects", spec.objects is None or is_whole(spec.objects, 0, 1000))
    limit = spec.coord_limit
    _require("spec.coord_limit", limit is None or (is_real(limit) and 0 < limit < math.inf))
    return spec


def _require(key: str, is_sound: bool) -> None:
    if not is_sound:
        raise UserError(f"{key} is damaged, or of another kind; copy the file again")


# ---- kinds of values


def is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value is a whole number from `low` to `high`."""
    return type(value) is int and low <= value <= high


def is_real(value: Any) -> bool:
    """Return whether a value is a number, perhaps NaN."""
    return type(value) is float or is_whole(value, -_MOST_STEPS, _MOST_STEPS)


def is_stored(value: Any, size: int) -> bool:
    """Return whether a value is a dense tensor of plain numbers that a file of `size` bytes can hold."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not value.is_complex()
        and not value.is_quantized
        and value.numel() * value.element_size() <= size
    )


def _is_dict(value: Any, is_sound: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and is_sound(x) for k, x in value.items())


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return all(map(_has_text_keys, value)) if isinstance(value, (list, tuple)) else True


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(item)
    elif isinstance(value, int):
        yield value
