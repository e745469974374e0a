"""Units of measurement: a reading is converted to the unit that the model's package names.

A unit is a factor and an offset to the base unit of its dimension: `base = value * factor +
offset`. Only units of one dimension convert.
"""

from __future__ import annotations

from andon.core.errors import Code, InvalidInput

_INCH_M = 0.0254
_PSI_PA = 6894.757293168361

UNITS: dict[str, tuple[str, float, float]] = {
    "K": ("temperature", 1.0, 0.0),
    "degC": ("temperature", 1.0, 273.15),
    "degF": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "degR": ("temperature", 5 / 9, 0.0),
    "Pa": ("pressure", 1.0, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "MPa": ("pressure", 1e6, 0.0),
    "mbar": ("pressure", 1e2, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "psi": ("pressure", _PSI_PA, 0.0),
    "m": ("length", 1.0, 0.0),
    "mm": ("length", 1e-3, 0.0),
    "um": ("length", 1e-6, 0.0),
    "in": ("length", _INCH_M, 0.0),
    "m/s": ("velocity", 1.0, 0.0),
    "mm/s": ("velocity", 1e-3, 0.0),
    "in/s": ("velocity", _INCH_M, 0.0),
    "m/s2": ("acceleration", 1.0, 0.0),
    "g": ("acceleration", 9.80665, 0.0),
    "rpm": ("rotation", 1.0, 0.0),
    "Hz": ("rotation", 60.0, 0.0),
    "rad/s": ("rotation", 9.549296585513721, 0.0),
    "A": ("current", 1.0, 0.0),
    "mA": ("current", 1e-3, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "kV": ("voltage", 1e3, 0.0),
    "W": ("power", 1.0, 0.0),
    "kW": ("power", 1e3, 0.0),
    "hp": ("power", 745.6998715822702, 0.0),
    "N": ("force", 1.0, 0.0),
    "kN": ("force", 1e3, 0.0),
    "lbf": ("force", 4.4482216152605, 0.0),
    "Nm": ("torque", 1.0, 0.0),
    "1": ("ratio", 1.0, 0.0),
    "%": ("ratio", 1e-2, 0.0),
    "ppm": ("ratio", 1e-6, 0.0),
    "s": ("time", 1.0, 0.0),
    "ms": ("time", 1e-3, 0.0),
    "min": ("time", 60.0, 0.0),
    "h": ("time", 3600.0, 0.0),
}


def conversion(source: str, target: str) -> tuple[float, float]:
    """Factor and offset from one unit to another; equal or unnamed units change nothing.

    Raises:
        InvalidInput: BAD_CONFIG for an unknown unit, or two of different dimensions.
    """
    if source in ("", target):
        return 1.0, 0.0
    if not target:
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"the package names no unit for a channel that the configuration gives in {source!r}",
            hint="leave `unit` out",
        )
    for unit in (source, target):
        if unit not in UNITS:
            raise InvalidInput(
                Code.BAD_CONFIG, f"unknown unit {unit!r}", hint="known: " + " ".join(UNITS)
            )
    dimension, factor, offset = UNITS[source]
    wanted, per, base = UNITS[target]
    if dimension != wanted:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{source} is a {dimension}, {target} a {wanted}: no conversion"
        )
    return factor / per, (offset - base) / per
