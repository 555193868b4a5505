"""Hostile files of runs: checkpoints, weights and records whose structure no program of ours would write."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hostile import Hostile, nested, with_bytes
from safetensors import safe_open
from safetensors.torch import save_file

DEEP = 100_000  # levels, more than Python's stack has

# ---- checkpoints and weights


def _checkpoint(change: Callable[[dict[str, Any]], Any]) -> Hostile:
    def write(source: Path, target: Path) -> None:
        content = torch.load(source, weights_only=True)
        changed = change(content)
        torch.save(content if changed is None else changed, target)

    return write


def _put(*path: Any, value: Any) -> Hostile:
    """Return the hostile checkpoint in which one entry is another."""

    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            if place.get(key) is None:
                place[key] = {}
            place = place[key]
        place[path[-1]] = value

    return _checkpoint(change)


def _without(*path: Any) -> Hostile:
    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place.get(key) or {}
        place.pop(path[-1], None)

    return _checkpoint(change)


def _moments(change: Callable[[torch.Tensor], Any]) -> Hostile:
    """Change the first tensor of each parameter's state in the optimiser."""

    def write(content: dict[str, Any]) -> None:
        training = content.get("training") or {}
        for state in training.get("learner", {}).get("optimiser", {}).get("state", {}).values():
            state["exp_avg"] = change(state["exp_avg"])

    return _checkpoint(write)


_FIELDS = ("version", "step", "config", "spec", "model", "scores", "training", "commit", "versions", "data")
_VALUES = (None, [1], -1, float("inf"), 10**30, "text", {}, {"a": 1}, {1: 2}, torch.zeros(3), True)
CHECKPOINTS: dict[str, Hostile] = {
    f"{key}={str(value):.20}": _put(key, value=value) for key in _FIELDS for value in _VALUES
}
CHECKPOINTS |= {f"without {key}": _without(key) for key in _FIELDS}
CHECKPOINTS |= {
    f"{'.'.join(map(str, path))}={str(value):.20}": _put(*path, value=value)
    for path in (
        ("spec", "height"), ("spec", "width"), ("spec", "channels"), ("spec", "actions"), ("spec", "objects"),
        ("spec", "coord_limit"), ("config", "model"), ("config", "plugins"), ("config", "data"),
        ("config", "trainer"), ("config", "optim"), ("config", "stages"), ("config", "objective"),
        ("config", "seed"), ("config", "choices"), ("config", "val"),
        ("config", "model", "slots"), ("config", "model", "frame"), ("config", "model", "dynamics"),
        ("training", "learner"), ("training", "learner", "optimiser"), ("training", "learner", "weights"),
        ("training", "learner", "optimiser", "state"), ("training", "learner", "optimiser", "param_groups"),
        ("training", "rng"), ("training", "elapsed"), ("training", "validated"), ("training", "best"),
        ("training", "start"), ("training", "objective"),
    )
    for value in (*_VALUES, 10**9, 0, float("nan"))
}  # fmt: skip
CHECKPOINTS |= {
    "config nested deeply": _put("config", "model", "frame", "size", value=nested(400)),
    "target outside": _put("config", "model", "frame", "_target_", value="os.system"),
    "target no text": _put("config", "model", "frame", "_target_", value=[1]),
    "empty list": _checkpoint(lambda content: []),
    "tensor": _checkpoint(lambda content: torch.zeros(3)),
    "keys of numbers": _checkpoint(lambda content: {1: 2, "format": content["format"], "version": 2}),
    "weights of another shape": _checkpoint(
        lambda content: content["model"].update({k: torch.zeros(7) for k in list(content["model"])[:3]})
    ),
    "weights of another type": _checkpoint(
        lambda content: content["model"].update({k: x.cfloat() for k, x in content["model"].items()})
    ),
    "weights of terabytes that are one number": _checkpoint(
        lambda content: content["model"].update({k: torch.zeros(1).expand(10**12) for k in content["model"]})
    ),
    "sparse weights": _checkpoint(
        lambda content: content["model"].update({k: torch.zeros(4, 4).to_sparse() for k in content["model"]})
    ),
    "moments: larger": _moments(lambda x: torch.zeros(10_000)),
    "moments: smaller": _moments(lambda x: torch.zeros(1)),
    "moments: empty": _moments(lambda x: torch.zeros(0)),
    "moments: of another type": _moments(lambda x: x.double()),
    "moments: of whole numbers": _moments(lambda x: x.to(torch.uint8)),
    "moments: one number for all": _moments(lambda x: torch.zeros(()).expand(x.shape)),
    "moments: no tensor": _moments(lambda x: [1.0]),
    "rng of another size": _put("training", "rng", value=[{"cpu": torch.zeros(3, dtype=torch.uint8)}]),
    "rng of noise": _put("training", "rng", value=[{"cpu": torch.full((5056,), 255, dtype=torch.uint8)}]),
    "rng of floats": _put("training", "rng", value=[{"cpu": torch.zeros(5056)}]),
    "rng without the CPU": _put("training", "rng", value=[{}]),
}


def _weights(change: Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]) -> Hostile:
    def write(source: Path, target: Path) -> None:
        with safe_open(source, framework="pt") as file:
            about = json.loads(file.metadata()["seqvae"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
        text = change(about, tensors)
        save_file(tensors, target, {"seqvae": text if isinstance(text, str) else json.dumps(about)})

    return write


WEIGHTS: dict[str, Hostile] = {
    f"{key}={str(value):.20}": _weights(lambda about, tensors, k=key, x=value: about.update({k: x}))
    for key in _FIELDS[:-1]
    for value in (None, [1], -1, 1e308, "text", {}, {"a": 1}, True)
    if key != "model"
}
WEIGHTS |= {
    "nested": _weights(lambda about, tensors: '{"a":' * DEEP + "1" + "}" * DEEP),
    "no JSON": _weights(lambda about, tensors: "{"),
    "not a number": _weights(lambda about, tensors: about.update(step=float("nan"))),
    "no weights": _weights(lambda about, tensors: tensors.clear()),
    "header of terabytes": with_bytes(struct.pack("<Q", 2**42) + b"{}"),
    "header nested": with_bytes(struct.pack("<Q", 10**6) + b"[" * 10**6),
}

# ---- records of a run

_ALIASES = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)
RECORDS: dict[str, Hostile] = {
    "aliases of aliases": with_bytes(_ALIASES),
    "nested": with_bytes(b"[" * DEEP),
    "nested mappings": with_bytes(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "object of Python": with_bytes(b"!!python/object/apply:os.system ['echo ran code']\n"),
    "huge number": with_bytes(b'{"kind": "train", "step": 1' + b"0" * 5000 + b', "table": {}}\n'),
    "infinite step": with_bytes(b'{"kind": "train", "step": 1e999, "loss": NaN}\n'),
    "step of 30 digits": with_bytes(b'{"kind": "train", "step": 1' + b"0" * 30 + b', "loss": 1}\n'),
    "tables of texts": with_bytes(b'{"table": {"model": {"a": {"mean": "x", "se": [], "n": "many"}}}}\n'),
    "infinite counts": with_bytes(b'{"table": {"model": {"a": {"mean": 1, "se": 1, "n": Infinity}}}}\n'),
    "table is a list": with_bytes(b'{"table": [1, 2]}\n'),
    "interpolation": with_bytes(b"a: ${b}\nb: ${a}\n"),
    "environment": with_bytes(b"a: ${oc.env:HOME}\n"),
    "no text": with_bytes(b"\xff\xfe\xfd" * 100),
    "null bytes": with_bytes(b"\0" * 1000),
    "nothing": with_bytes(b""),
}
