"""Printing a module shows its options, as torch's own modules do."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import infomax

# For every public module: arguments, options that are not their defaults, and the text that its repr must contain.
SHOWN: dict[str, tuple[tuple[Any, ...], dict[str, Any], list[str]]] = {
    "DotCritic": ((3, 5), {"units": 8, "scale": 0.25, "layer_norm": False}, ["scale=0.25", "layer_norm=False", "8"]),
    "BilinearCritic": ((3, 5), {"scale": 0.25}, ["local_dim=3", "global_dim=5", "scale=0.25"]),
    "CosineCritic": ((3, 5), {"units": 8, "temperature": 0.25}, ["temperature=0.25", "out_features=8"]),
    "ConcatCritic": ((3, 5), {"units": 8}, ["local_dim=3", "global_dim=5", "out_features=8"]),
    "GaussianCritic": ((3, 5), {"units": 8, "spread": 3.5}, ["spread=3.5", "out_features=8"]),
    "LipschitzCritic": ((3, 5), {"units": 8, "radius": 2.5}, ["radius=2.5", "local_dim=3", "out_features=8"]),
    "PairwiseCritic": ((nn.Bilinear(3, 5, 1), 3, 5), {"floats_per_pair": 77}, ["local_dim=3", "floats_per_pair=77"]),
    "LocalDIMLoss": (
        (3, 5),
        {"units": 8, "sample_locations": 4, "sample_negatives": 6, "reduction": "none"},
        ["sample_locations=4", "sample_negatives=6", "reduction='none'", "gather=False", "InfoNCE()"],
    ),
    "GlobalDIMLoss": (
        (3, 5, (2, 2)),
        {"units": 8, "gather": True, "estimator": "jsd"},
        ["gather=True", "read='dv'"],
    ),
    "InfoMaxLoss": (
        (3, 5),
        {"units": 8, "symmetric": False, "in_batch": False},
        ["symmetric=False", "same_side=False", "in_batch=False", "out_features=8"],
    ),
    "DIMLoss": (
        (3, 5),
        {"units": 8, "beta": 0.5, "gamma": 0.25},
        ["alpha=0.0", "beta=0.5", "gamma=0.25", "prior='uniform'"],
    ),
    "PriorMatchingLoss": (
        (3,),
        {"prior": "normal", "measure": "kl", "gradient_penalty": 0.5, "saturating": True, "clip": 3.0},
        ["prior='normal'", "measure='kl'", "gradient_penalty=0.5", "saturating=True", "clip=3.0"],
    ),
    "InfoNCE": ((), {"anchor": 2.5}, ["anchor=2.5"]),
    "MINE": ((), {"rate": 0.25}, ["rate=0.25"]),
    "TUBA": ((), {"alpha": 0.25, "baseline": "learned", "rate": 0.5}, ["alpha=0.25", "'learned'", "rate=0.5"]),
    "SMILE": ((), {"clip": 2.5}, ["clip=2.5"]),
    "JensenShannon": ((), {"read": "nwj"}, ["read='nwj'"]),
    "FDivergence": (("chi2",), {}, ["measure='chi2'"]),
    "ScoreRegularised": (
        ("jsd",),
        {"weight": 0.5, "clip": 2.5, "soft": False},
        ["weight=0.5", "clip=2.5", "soft=False", "JensenShannon"],
    ),
}
ELSEWHERE = {"CoordinateLoss"}  # tested in tests/variants


@pytest.mark.parametrize("name", SHOWN)
def test_a_module_shows_its_options(name: str) -> None:
    args, options, shown = SHOWN[name]
    text = repr(getattr(infomax, name)(*args, **options))
    assert text.startswith(f"{name}(")
    for part in shown:
        assert part in text, f"{part} is not in {text}"


def test_no_public_module_with_options_is_left_out() -> None:
    modules = {
        name
        for name in infomax.__all__
        if inspect.isclass(kind := getattr(infomax, name))
        and issubclass(kind, nn.Module)
        and not inspect.isabstract(kind)
        and any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in inspect.signature(kind).parameters.values())
    }
    assert modules - ELSEWHERE == set(SHOWN)


def test_scores_say_how_many_pairs_they_hold() -> None:
    scores = infomax.functional.dot_scores(torch.randn(4, 8, 3, 3), torch.randn(4, 8))
    assert repr(scores) == "StreamedScores(globals=4, local_rows=36, joint_pairs=36)"
    two_globals = infomax.functional.dot_scores(torch.randn(4, 8, 3), torch.randn(4, 8, 2))
    assert repr(two_globals) == "StreamedScores(globals=8, local_rows=12, joint_pairs=24)"
    assert "globals=4, local_rows=20" in repr(
        infomax.LocalDIMLoss(8, 8, units=4).scores(torch.randn(4, 8, 5), torch.randn(4, 8))
    )
