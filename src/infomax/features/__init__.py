"""Local and global features from any encoder."""

from infomax.features.tapping import Tap, Taps, feature_shapes, tap, taps
from infomax.features.types import Features, FeatureShapes

__all__ = ["FeatureShapes", "Features", "Tap", "Taps", "feature_shapes", "tap", "taps"]
