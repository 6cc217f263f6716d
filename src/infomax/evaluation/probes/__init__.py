"""Classifiers on frozen features, trained or nearest-neighbour, that measure how well the features separate classes."""
