"""Fuzzing of the public functions and classes: byte strings become calls, and an oracle judges how each call ends."""

__all__ = ["NAMES"]

NAMES = (
    "losses",
    "estimators",
    "steps",
    "pairwise",
    "prior",
    "taps",
    "information",
    "probes",
    "encoders",
    "variants",
    "training",
    "tasks",
    "measures",
    "rows",
)
"""Short names of the targets, which are also the names of their modules."""
