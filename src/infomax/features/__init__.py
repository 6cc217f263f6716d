"""Local and global features out of any encoder."""

from infomax.features.types import Features, FeatureShapes

__all__ = ["FeatureShapes", "Features"]
