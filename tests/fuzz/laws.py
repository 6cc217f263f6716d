"""Laws that relate two calls of a loss: masked places have no influence, nor has the order of examples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fuzz.oracle import Finding, is_plain, is_tame

__all__ = ["check_laws"]

_SMALL = 10.0


def check_laws(loss_fn: nn.Module, local: Any, global_: Any, given: dict[str, Any], nats: Any) -> None:
    """Measure again with other values in masked places, and with the examples in another order.

    Args:
        loss_fn: the loss; only its ``mutual_information`` is called, which changes no state.
        local: local features.
        global_: global features.
        given: keyword arguments of the first call.
        nats: result of the first call of ``mutual_information``.

    Raises:
        Finding: the result has changed.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if local is None:
        return  # accepted if the prior term is the only term
    if isinstance(nats, tuple) and all(part is None for part in nats):
        return  # the prior term alone gives no estimate
    values = [value for value in (local, global_, *given.values()) if isinstance(value, Tensor)]
    options = ("sample_locations", "sample_negatives")
    drawn = any(getattr(part, name, None) is not None for part in loss_fn.modules() for name in options)
    if not all(map(is_plain, values)) or not is_tame([values, nats]) or "generator" in given or "batch" in given:
        return
    examples = {name: len(value) for name, value in {**given, "local": local, "global_": global_}.items()}
    examples.pop("negatives", None)
    if len(set(examples.values())) > 1:
        return  # accepted if the prior term, which reads only the globals, is the only term
    with torch.no_grad():
        if "mask" in given:
            spoilt = torch.where(given["mask"].unsqueeze(1), local, torch.nan)
            _same(nats, loss_fn.mutual_information(spoilt, global_, **given), 0.0, "masked places have an influence")
        small = all(bool((value.double().abs() <= _SMALL).all()) for value in values)
        if small and not drawn and local.dtype.itemsize >= 4:
            order = torch.arange(len(local)).roll(1)
            moved = {name: value if name == "negatives" else value[order] for name, value in given.items()}
            found = loss_fn.mutual_information(local[order], global_[order], **moved)
            _same(nats, found, 1e-3, "the order of examples has an influence")


def _same(one: Any, other: Any, tolerance: float, what: str) -> None:
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    for first, second in pairs:
        if first is not None and not torch.allclose(first, second, rtol=tolerance, atol=tolerance):
            raise Finding(f"{what}: {first} and {second}")
