"""Quantities of an evaluation that have a value per frame: their titles, and which value is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """How a quantity is shown.

    axis: title, and its unit after a comma
    higher: whether more is better
    logarithmic: whether its axis is; one that may be negative, or lies near its best value, is not
    """

    axis: str
    higher: bool = False
    logarithmic: bool = True

    @property
    def title(self) -> str:
        """The title without the unit."""
        return self.axis.partition(",")[0]


QUANTITIES = {
    "position_error": Quantity("position error, half-widths"),
    "velocity_error": Quantity("velocity error, half-widths per frame"),
    "med": Quantity("MED, picture widths"),
    "pixel_mse": Quantity("pixel MSE"),
    "psnr": Quantity("PSNR, dB", higher=True, logarithmic=False),
    "ssim": Quantity("SSIM", higher=True, logarithmic=False),
}


def quantity_of(column: str) -> str | None:
    """Return the quantity of a column ("med_1_10"), None for one of the user."""
    return next((name for name in QUANTITIES if column.startswith(f"{name}_")), None)


def is_higher_better(column: str) -> bool:
    """Return whether more is better in a column; errors, and quantities of the user, are better if less."""
    name = quantity_of(column)
    return name is not None and QUANTITIES[name].higher
