"""Networks that learn what the closed form misses; the networks of all folds run in the same few operations."""
