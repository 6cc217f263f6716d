"""Hostile input for the public surface: byte strings become calls, and an oracle judges how each ends."""

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
)
"""Short names of the targets, which are the names of their modules."""
