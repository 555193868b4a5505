"""Interventions on slots: drop, swap, move or push inferred slots, then decode them or imagine on from them.

A trace that these functions return holds the changed states in all its frames, and a carry from which
`imagine` goes on. Its densities stay the ones of the inferred states, and filtering does not go on from it.
Slots count from 0, as in the trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqvae.errors import UserError
from seqvae.layout import require_fields
from seqvae.sequence import SequenceModel
from seqvae.types import Carry, LastState, Trace


def drop(model: SequenceModel, trace: Trace, *slots: int) -> Trace:
    """Return the trace without these slots: they are decoded no more, and push no other.

    Raises:
        UserError: there is no such slot, or none would be left; or the dynamics remembers more than a state.
    """
    _require_slots("drop", trace, slots)
    _require_objects("drop", model, slots)
    kept = remaining(trace.z.shape[2], slots)
    if not kept:
        raise UserError("drop: no slot would be left; keep at least one")
    return _with_states(model, trace, trace.z[:, :, kept])


def swap(
    model: SequenceModel, trace: Trace, a: int, b: int, fields: Iterable[str] = ("appearance",)
) -> Trace:
    """Return the trace with the fields of two slots exchanged: with "position" they change places.

    Raises:
        UserError: there is no such slot or field; or the dynamics remembers more than a state.
    """
    _require_slots("swap", trace, (a, b))
    z = trace.z.clone()
    for field in fields:
        require_fields(model.layout, (field,), "swap", "name another field")
        where = model.layout[field]
        z[:, :, a, where], z[:, :, b, where] = trace.z[:, :, b, where], trace.z[:, :, a, where]
    return _with_states(model, trace, z)


def move(model: SequenceModel, trace: Trace, slot: int, by: tuple[float, float]) -> Trace:
    """Return the trace with a slot moved by (dx, dy), x right in half-widths, y down in half-heights.

    Raises:
        UserError: there is no such slot, or slots have no position; or the dynamics remembers more than a
            state.
    """
    _require_slots("move", trace, (slot,))
    _require_objects("move", model, (slot,))
    require_fields(model.layout, ("position",), "move", "swap or drop slots instead")
    z = trace.z.clone()
    z[:, :, slot, model.layout["position"]] += torch.tensor(by, device=z.device, dtype=z.dtype)
    return _with_states(model, trace, z)


def push(model: SequenceModel, trace: Trace, slot: int, velocity: tuple[float, float]) -> Trace:
    """Return the trace with the velocity of a slot set to (vx, vy), half-widths and half-heights per frame.

    Raises:
        UserError: there is no such slot, or slots have no velocity; or the dynamics remembers more than a
            state.
    """
    _require_slots("push", trace, (slot,))
    _require_objects("push", model, (slot,))
    require_fields(model.layout, ("velocity",), "push", "move slots instead")
    z = trace.z.clone()
    z[:, :, slot, model.layout["velocity"]] = torch.tensor(velocity, device=z.device, dtype=z.dtype)
    return _with_states(model, trace, z)


def remaining(slots: int, dropped: Iterable[int]) -> list[int]:
    """Return the slots that remain without the dropped ones, in their order."""
    return sorted(set(range(slots)) - set(dropped))


FORMS = {  # key -> what is expected, an example
    "swap": ("two slots and the fields to exchange", "[0,1,appearance]"),
    "move": ("a slot and how far in x and y, in half-widths", "[0,0.3,0]"),
    "push": ("a slot and its velocity in x and y, in half-widths per frame", "[0,0.05,0]"),
    "drop": ("a list of slots", "[0]"),
}


@dataclass(frozen=True)
class Change:
    """A swap, a move, a push and a drop, done in this order. Slots have the numbers that they had before it.

    swap: (slot, slot, field, ...), or None
    move: (slot, dx, dy), in half-widths and half-heights, or None
    push: (slot, vx, vy), in half-widths and half-heights per frame, or None
    drop: (slot, ...), or None

    Raises:
        UserError: one of them has another form.
    """

    swap: Any = None
    move: Any = None
    push: Any = None
    drop: Any = None

    def __post_init__(self):
        for key, (form, example) in FORMS.items():
            value = getattr(self, key)
            if value is not None and not _fits(key, value):
                raise UserError(f"intervene.{key}={value}: expected {form}, for instance {example}")

    def __bool__(self) -> bool:
        return any(getattr(self, key) is not None for key in FORMS)

    def __str__(self) -> str:
        parts = [(key, getattr(self, key)) for key in FORMS]
        return ", ".join(f"{key} {' '.join(map(str, value))}" for key, value in parts if value is not None)

    def __call__(self, model: SequenceModel, trace: Trace) -> Trace:
        """Return the changed trace.

        Raises:
            UserError: there is no such slot or field; or the dynamics remembers more than a state.
        """
        if self.swap is not None:
            a, b, *names = self.swap
            trace = swap(model, trace, a, b, names)
        if self.move is not None:
            slot, dx, dy = self.move
            trace = move(model, trace, slot, (dx, dy))
        if self.push is not None:
            slot, vx, vy = self.push
            trace = push(model, trace, slot, (vx, vy))
        return trace if self.drop is None else drop(model, trace, *self.drop)


def _fits(key: str, value: Any) -> bool:
    """Return whether a value has the form of FORMS."""
    if not isinstance(value, tuple):
        return False
    kinds = [type(item) for item in value]
    if key == "swap":
        return kinds[:2] == [int, int] and set(kinds[2:]) == {str}
    if key in ("move", "push"):
        numbers = len(kinds) == 3 and kinds[0] is int and set(kinds[1:]) <= {int, float}
        return numbers and all(map(math.isfinite, value))
    return set(kinds) == {int}


def _require_slots(name: str, trace: Trace, slots: Iterable[int]) -> None:
    count = trace.z.shape[2]
    for slot in slots:
        if not 0 <= slot < count:
            raise UserError(f"{name}: there is no slot {slot}; the model has {count}, counted from 0")


def _require_objects(name: str, model: SequenceModel, slots: Iterable[int]) -> None:
    if any(slot < model.background_slots for slot in slots):
        raise UserError(f"{name}: slot 0 is the background and stays where it is; name an object's slot")


def require_editable(model: SequenceModel) -> None:
    """Raise UserError if the dynamics remembers more than a state, so that its future follows no change."""
    carry = model.dynamics.init(1, torch.zeros(1, 1))
    if not isinstance(carry, LastState) and not model.dynamics.frames_independent:
        raise UserError(
            f"interventions: {type(model.dynamics).__name__} remembers more than the last state, so its "
            "future would not follow; use a model with graph or linear dynamics"
        )


def _with_states(model: SequenceModel, trace: Trace, z: Float[Tensor, "b t k d"]) -> Trace:
    """Return the trace with other states, and the carry from which imagination goes on."""
    require_editable(model)
    last, dynamics = z[:, -1], trace.carry.dynamics
    if isinstance(dynamics, LastState):
        dynamics = replace(dynamics, z=last, like=torch.zeros_like(last))
    else:  # nothing of the past is read
        dynamics = torch.zeros_like(last)
    return replace(trace, z=z, carry=Carry(dynamics, model.posterior.init(len(last), last)))
