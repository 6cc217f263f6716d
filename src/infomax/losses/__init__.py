"""Losses on features, which combine a critic and an estimator."""

from infomax.losses.dim import DIMInformation, DIMLoss, DIMScores, DIMTerms
from infomax.losses.global_dim import GlobalDIMLoss, MapEncoder
from infomax.losses.info_max import InfoMaxLoss
from infomax.losses.local_dim import LocalDIMLoss

__all__ = [
    "DIMInformation",
    "DIMLoss",
    "DIMScores",
    "DIMTerms",
    "GlobalDIMLoss",
    "InfoMaxLoss",
    "LocalDIMLoss",
    "MapEncoder",
]
