"""The parts of ``train_dim.py``, one idea per file. Copy the files that your own training needs."""
