"""The one exception a user of ``train_dim.py`` is meant to see, as one line and no traceback."""


class BadInput(ValueError):  # noqa: N818  (it names what is bad, not what was raised)
    """A file, folder or option that cannot be used: says which, what was expected and what came."""
