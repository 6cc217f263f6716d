"""From users' data to rows: matrices of numbers, folds, and blocks within which every x is paired with every y."""
