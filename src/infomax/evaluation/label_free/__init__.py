"""Measures of frozen features that need no labels."""
