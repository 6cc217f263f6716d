"""Scores of joint and marginal pairs: the hinge between critics and estimators."""

from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.build import dense_scores, dot_scores
from infomax.scores.clipped import ClippedScores
from infomax.scores.dense import DenseScores, RowScore, TableScores
from infomax.scores.streamed import StreamedScores

__all__ = [
    "ClippedScores",
    "DenseScores",
    "PairScores",
    "Reduced",
    "Reduction",
    "RowScore",
    "StreamedScores",
    "TableScores",
    "dense_scores",
    "dot_scores",
]
