"""Names for the latent axis `d`: the slices of z that hold size, position, velocity and so on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from seqvae.errors import UserError

Use = Literal["frame", "product", "dynamics"]


@dataclass(frozen=True)
class Field:
    """One named part of a slot's latent state.

    name: key in a StateLayout
    size: count of numbers
    use: how the posterior forms it: from the `frame` (its encoding) alone, as the normalised `product` of
        encoding and dynamics, or from the `dynamics` alone
    difference_of: name of a field whose difference between two frames is the encoding for this one, which
        a single frame does not show (velocity from position)
    """

    name: str
    size: int
    use: Use
    difference_of: str | None = None


# per frame, from one frame to the next
VELOCITY = Field("velocity", 2, "product", difference_of="position")


@dataclass(frozen=True)
class StateLayout:
    """Ordered fields of the d axis; `layout["position"]` is the slice of the positions.

    A position (x, y) runs from -1 to 1 over the picture, x to the right in half-widths and y down in
    half-heights. Sizes are in the same units, velocities in these units per frame.
    """

    fields: tuple[Field, ...]

    def __post_init__(self):
        names = [f.name for f in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"a layout names each field once, got {names}")
        for f in self.fields:  # a velocity has as many numbers as a position
            if f.difference_of is not None and self.field(f.difference_of).size != f.size:
                raise ValueError(f"{f.name} and {f.difference_of}, whose difference it is, differ in size")

    @property
    def dim(self) -> int:
        """Size of the d axis."""
        return sum(f.size for f in self.fields)

    def __contains__(self, name: str) -> bool:
        return any(f.name == name for f in self.fields)

    def __getitem__(self, name: str) -> slice:
        start = 0
        for f in self.fields:
            if f.name == name:
                return slice(start, start + f.size)
            start += f.size
        raise KeyError(f"no field {name!r} in this layout; it has {[f.name for f in self.fields]}")

    def field(self, name: str) -> Field:
        """Return the field of this name; raise KeyError if there is none."""
        for f in self.fields:
            if f.name == name:
                return f
        raise KeyError(f"no field {name!r} in this layout; it has {[f.name for f in self.fields]}")

    def split(self, z: Tensor) -> dict[str, Tensor]:
        """Return views of z "... d" by name."""
        return {f.name: z[..., self[f.name]] for f in self.fields}

    def extend(self, *fields: Field) -> StateLayout:
        """Return a layout with fields appended; the slices of existing names stay as they are."""
        return StateLayout(self.fields + fields)


def require_fields(layout: StateLayout, names: tuple[str, ...], part: str, remedy: str) -> None:
    """Raise UserError unless the layout has the fields that `part` ("model.dynamics: X") needs."""
    if not all(name in layout for name in names):
        has = ", ".join(field.name for field in layout.fields)
        raise UserError(f"{part} needs {' and '.join(names)} in the state, which has {has}; {remedy}")


def refuse_presence(layout: StateLayout, part: str, remedy: str) -> None:
    """Raise UserError if slots can be absent and `part` ("model.dynamics: X") does not know of that."""
    if "presence" in layout:
        raise UserError(
            f"{part} takes every slot for an object, and in this frame model some are absent; use {remedy}"
        )


def require_names(layout: StateLayout, names: Iterable[str], key: str) -> None:
    """Raise UserError unless every name, given for the config's `key`, is that of a field."""
    for name in names:
        if name not in layout:
            has = ", ".join(field.name for field in layout.fields)
            raise UserError(f"{key}.{name}: the state has no such field; it has {has}")
