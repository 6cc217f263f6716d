"""Measuring mutual information: two variables in, an estimate with an interval out, from rows no critic has seen."""

from infomax.mi.estimate import estimate_mi
from infomax.mi.per_column import mutual_info
from infomax.mi.result import MIEstimate

__all__ = ["MIEstimate", "estimate_mi", "mutual_info"]
