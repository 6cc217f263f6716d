"""Objectives on features: a critic and an estimator put together."""

from infomax.losses.coordinates import CoordinateLoss, CoordinateTerms
from infomax.losses.dim import DIMLoss, DIMTerms
from infomax.losses.global_dim import GlobalDIMLoss, MapEncoder
from infomax.losses.local_dim import LocalDIMLoss

__all__ = [
    "CoordinateLoss",
    "CoordinateTerms",
    "DIMLoss",
    "DIMTerms",
    "GlobalDIMLoss",
    "LocalDIMLoss",
    "MapEncoder",
]
