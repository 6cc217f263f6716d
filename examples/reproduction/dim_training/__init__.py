"""The parts of ``train_dim.py``, one idea a file: copy the ones your own training needs."""
