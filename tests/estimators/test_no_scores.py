"""A table of numbers in place of scores is refused by every function and module, and the message says what to do."""

from __future__ import annotations

import pytest
import torch

from infomax import ScoreRegularised
from infomax import functional as F
from infomax.estimators import EstimatorLike, build_estimator
from infomax.estimators.build import names

OF_SCORES = [name for name in F.__all__ if not name.endswith("_scores")]
MORE = {
    "fdivergence_loss": ("kl",), "fdivergence_estimate": ("kl",), "flo_loss": (torch.zeros(3),),
    "flo_estimate": (torch.zeros(3),), "mine_loss": (torch.tensor(0.0),),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_SCORES)
@pytest.mark.parametrize("given", [torch.eye(3), 3, None], ids=["table", "number", "nothing"])
def test_functions(name: str, given: object) -> None:
    with pytest.raises(TypeError, match=r"scores must be what a critic returns.*dense_scores\(table\)"):
        getattr(F, name)(given, *MORE.get(name, ()))


@pytest.mark.parametrize("name", OF_SCORES)
def test_scores_are_taken_by_position_and_by_name(name: str) -> None:
    scores = F.dense_scores(torch.eye(3))
    by_name = getattr(F, name)(scores=scores, **dict(zip(_names(name), MORE.get(name, ()), strict=True)))
    assert torch.equal(getattr(F, name)(scores, *MORE.get(name, ())), by_name)


def _names(function: str) -> tuple[str, ...]:
    """Return the names of the arguments in ``MORE``."""
    if function not in MORE:
        return ()
    return ("measure",) if "fdiv" in function else ("u",) if "flo" in function else ("log_average",)


@pytest.mark.parametrize("name", [*names(), ScoreRegularised("jsd", clip=5.0)], ids=str)
def test_modules(name: EstimatorLike) -> None:
    estimator = build_estimator(name)
    for call in (estimator, estimator.mutual_information):
        with pytest.raises(TypeError, match="scores must be what a critic returns"):
            call(torch.eye(3))
