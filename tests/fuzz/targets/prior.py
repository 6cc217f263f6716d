"""The prior term, with every measure, penalty and clip; and the layer that adds noise."""

from __future__ import annotations

from typing import Any

import torch

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import INTEGERS, NUMBERS, option, size, tensor
from infomax import PriorMatchingLoss
from infomax.prior import NoisePrior

_MEASURES = ("gan", "jsd", "dv", "kl", "rkl", "hellinger", "chi2", "wasserstein")
_NAMES = ("dim", "prior", "hidden", "measure", "gradient_penalty", "clip", "dtype", "y")


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    source.likely(_term, [_term, _noise])(source)


def _noise(source: Source) -> None:
    prior = attempt(
        NoisePrior,
        size(source, (3,)),
        option(source, ["normal", "uniform"], ["gamma", None, 3]),
        noise=option(source, [None, 0.5, 0.1], NUMBERS),
        names=("dim", "prior", "noise"),
    )
    if source.rarely():
        prior.eval()
    y = tensor(source, (source.choice([4, 2, 1, 0]), 3, *([2] if source.rarely() else [])))
    generator = source.choice([torch.Generator(), 3, "seed"]) if source.rarely() else None
    noisy = attempt(prior, y, generator=generator, names=("y", "generator"))
    if noisy.shape != y.shape or noisy.dtype != y.dtype:
        raise Finding(f"{tuple(noisy.shape)} {noisy.dtype} of {tuple(y.shape)} {y.dtype}")
    if noisy.requires_grad and not noisy.is_meta:
        attempt(noisy.sum().backward)
    attempt(prior.ceiling)


def _term(source: Source) -> None:
    options: dict[str, Any] = {
        "prior": option(source, ["uniform", "normal"], ["gamma", None, 3]),
        "measure": option(source, _MEASURES, ["w", None, 2]),
        "hidden": option(source, [(4, 3), (2,), (), [3]], [4, None, (0,), (2.5,), (10**20,), "44", (None,), {3}]),
        "gradient_penalty": option(source, [0.0, 1.0, 10], NUMBERS),
        "saturating": bool(source.below(2)),
        "clip": option(source, ["auto", None, 20.0, 1.0], [*NUMBERS, "none"]),
    }
    if source.rarely():
        options["dtype"] = source.choice([torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.complex64])
    prior = attempt(PriorMatchingLoss, option(source, [3], INTEGERS), **options, names=_NAMES)
    n = source.choice([4, 1, 2, 0])
    shape = (n, 3, *([2] if source.rarely() else []))
    y = tensor(source, shape, options.get("dtype", torch.float32))
    call: Any = prior
    if source.rarely():
        call = torch.inference_mode()(prior.forward)
    elif source.rarely():
        call = torch.no_grad()(prior.forward)
    generator = source.choice([torch.Generator(), 3, "seed"]) if source.rarely() else None
    # Without a clip, a bare exponential may overflow in each term, as documented. The sum may then be NaN.
    bare = prior.clip is None and prior.measure in ("kl", "rkl", "hellinger")
    # Squares of scores of 2e4, and their exponentials, may exceed float32. The loss may be infinite, but not NaN.
    loss = attempt(call, y, generator=generator, names=_NAMES, infinite=True, beside=torch.inf if bare else 0.0)
    if loss.requires_grad and not loss.is_meta:
        attempt(loss.backward)
