"""Benchmarks of infomax; ``python -m benchmarks --help`` lists them."""
