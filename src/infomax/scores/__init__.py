"""Scores of joint and marginal pairs: the interface between critics and estimators."""

from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.build import dense_scores, dot_scores, paired_scores
from infomax.scores.clipped import ClippedScores
from infomax.scores.dense import DenseScores, RowScore, TableScores
from infomax.scores.gathered import GatheredScores, gather_scores
from infomax.scores.paired import PairedScores
from infomax.scores.ring import RingScores
from infomax.scores.streamed import StreamedScores

__all__ = [
    "ClippedScores",
    "DenseScores",
    "GatheredScores",
    "PairScores",
    "PairedScores",
    "Reduced",
    "Reduction",
    "RingScores",
    "RowScore",
    "StreamedScores",
    "TableScores",
    "dense_scores",
    "dot_scores",
    "gather_scores",
    "paired_scores",
]
