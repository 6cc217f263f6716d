"""From what users have to rows: matrices of numbers, folds of them, and blocks in which every x meets every y."""
