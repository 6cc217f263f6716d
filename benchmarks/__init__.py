"""Measurements of infomax, as ratios within one run: ``python -m benchmarks pairwise | step | scaling | tune``."""
