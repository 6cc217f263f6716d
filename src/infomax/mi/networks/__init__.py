"""Networks that learn what a closed form misses, those of all folds in the same few operations."""
