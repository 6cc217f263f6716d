"""Matching of the columns of data frames by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infomax.mi.input.columns import Column

__all__ = ["in_order_of"]

_SHOWN = 5


def in_order_of(name: str, columns: list[Column], titles: Sequence[object], of: str = "the estimate") -> list[Column]:
    """Return columns in the order of ``titles``, or in their own order where columns or titles lack names.

    Args:
        name: the argument, for messages.
        columns: columns to bring into order.
        titles: names in the order to follow.
        of: source of the titles, for messages.

    Raises:
        ValueError: missing names, additional names, or repeated names in another order.
    """
    came = [column.title for column in columns]
    if None in came or None in titles or came == list(titles):
        return columns
    places, known = {title: place for place, title in enumerate(came)}, set(titles)
    missing = [title for title in titles if title not in places]
    more = [title for title in came if title not in known]
    if missing or more:
        parts = [f"no {_listed(missing)}"] * bool(missing) + [f"{_listed(more)} in addition"] * bool(more)
        raise ValueError(
            f"{name} must have the columns {_listed(titles)} of {of}, got {' and '.join(parts)}; select or rename its "
            "columns, or pass an array, whose columns go by place"
        )
    if len(places) < len(came) or len(came) != len(titles):
        raise ValueError(
            f"{name} must have its columns in the order {_listed(titles)} of {of}, as names repeat, got "
            f"{_listed(came)}; rename its columns"
        )
    return [columns[places[title]] for title in titles]


def _listed(titles: Iterable[object]) -> str:
    shown = [repr(title) for title in titles]
    more = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
