"""Options of the losses that can be checked without a critic or an estimator."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from infomax._checks import check_flag, check_positive

__all__ = ["Gather", "check_gather", "check_negatives_options"]

Gather: TypeAlias = bool | Literal["ring"]
"""Whether, and how, negatives are taken from other processes."""


def check_gather(gather: object) -> None:
    """Raise unless ``gather`` is a bool or ``"ring"``."""
    if isinstance(gather, str) and gather != "ring":
        raise ValueError(f"gather must be True, False or 'ring', got {gather!r}")
    if not isinstance(gather, str | bool | np.bool_):
        raise TypeError(f"gather must be True, False or 'ring', got {type(gather).__name__}")


def check_negatives_options(*, in_batch: bool, sample_negatives: int | None, gather: Gather) -> int | None:
    """Return ``sample_negatives`` as an int or None, or raise if the options for negatives exclude each other.

    Args:
        in_batch: whether the other examples are negatives.
        sample_negatives: number of other examples that each global is scored against; all when None.
        gather: whether negatives are taken from other processes as well.
    """
    check_flag("in_batch", in_batch)
    check_gather(gather)
    if sample_negatives is None:
        return None
    sample_negatives = check_positive("sample_negatives", sample_negatives)
    if gather:
        raise ValueError(
            "sample_negatives must be None with gather=True: the first asks for fewer negatives, the second for more"
        )
    if not in_batch:
        raise ValueError("sample_negatives must be None with in_batch=False, which takes none of the other examples")
    return sample_negatives
