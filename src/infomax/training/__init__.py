"""Batches larger than memory: the gradient of a whole batch in chunks, and negatives from past batches."""

from infomax.training.cache import cached_backward
from infomax.training.queue import FeatureQueue

__all__ = ["FeatureQueue", "cached_backward"]
