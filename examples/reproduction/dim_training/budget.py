"""Durations as users write them, such as 1h30m."""

import re

from .errors import BadInput

UNITS = {"s": 1 / 60, "m": 1.0, "min": 1.0, "h": 60.0, "d": 1440.0, "": 1.0}
NUMBER = r"(\d+(?:\.\d+)?)\s*"


def minutes_of(text: str) -> float:
    """Return the minutes of `90s`, `20m`, `20min`, `1h30m` or a bare number, which is in minutes."""
    whole = re.fullmatch(rf"{NUMBER}|(?:{NUMBER}(?:s|min|m|h|d)\s*)+", text.strip())
    parts = re.findall(rf"{NUMBER}(s|min|m|h|d|)", text) if whole else []
    minutes = sum(float(number) * UNITS[unit] for number, unit in parts)
    if minutes <= 0:
        raise BadInput(f"--budget: expected a time such as 90s, 20m or 1h30m; got {text!r}")
    return minutes
