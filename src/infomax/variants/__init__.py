"""Additions to an objective: occlusion of the input, coordinate prediction, and penalties."""

from infomax.variants.activation import activation_penalty
from infomax.variants.coordinates import CoordinateLoss, CoordinateTerms
from infomax.variants.gradient import gradient_penalty
from infomax.variants.occlusion import occlude

__all__ = ["CoordinateLoss", "CoordinateTerms", "activation_penalty", "gradient_penalty", "occlude"]
