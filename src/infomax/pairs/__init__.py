"""The rows that are formed from features, and which pairs of rows are joint and which are marginal."""

from infomax.pairs.own import pair_own
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import Rows, pair_rows, rows_of
from infomax.pairs.steps import Ahead, ahead

__all__ = ["Ahead", "Pairing", "Rows", "ahead", "pair_own", "pair_rows", "rows_of"]
