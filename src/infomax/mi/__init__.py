"""Measurement of mutual information: an estimate with an interval, from critics that are read on held-out rows."""

from infomax.mi.estimate import estimate_mi
from infomax.mi.per_column import mutual_info
from infomax.mi.result import MIEstimate

__all__ = ["MIEstimate", "estimate_mi", "mutual_info"]
