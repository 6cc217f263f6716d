"""The gradient of a whole batch, with the memory of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._checks import check_differentiable, check_positive, shape_of
from infomax._random import random_state, replayed
from infomax.training.no_gradient_sync import no_gradient_sync

__all__ = ["cached_backward"]

_MOST_APART = 0.01  # relative difference of features between two passes that may be rounding, up to float16


def cached_backward(
    features: nn.Module,
    loss_fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any] | Mapping[str, Any],
    *,
    chunk_size: int = 64,
    scaler: torch.amp.GradScaler | None = None,
    **loss_options: Any,
) -> Tensor:
    r"""Backpropagate a loss of a whole batch, holding the encoder's graph of one chunk at a time.

    First, the encoder runs on every chunk, and no graph is kept. The loss is computed from the features of the whole
    batch, and its backward pass gives a gradient for each feature. Then the encoder runs on every chunk once more, with
    a graph, and backpropagates the gradients of that chunk's features. The result is the gradient of the plain loss, at
    the cost of one more forward pass.

    .. math:: \nabla_\theta \mathcal{L} = \sum_\mathrm{chunks}
              \Big( \frac{\partial f_\theta(x_\mathrm{chunk})}{\partial \theta} \Big)^\top
              \frac{\partial \mathcal{L}}{\partial f_\theta(x_\mathrm{chunk})}

    Write ``loss = cached_backward(features, loss_fn, images)`` in place of
    ``loss_fn(*features(images)).backward()``, under the same autocast context. Gradients are added to ``.grad`` as in
    any backward pass, so accumulation works. An encoder in DistributedDataParallel or FSDP2 exchanges gradients only in
    the last chunk, and not at all under ``no_sync()`` or after ``set_requires_gradient_sync(False)``. FSDP2 gathers
    weights for every chunk, so all processes need the same number of chunks, or they wait for each other forever.
    DistributedDataParallel does not have this restriction.

    Args:
        features: a module that returns the features of a chunk: a tensor, or a tuple or dict of tensors, with one
            example per row. To use DistributedDataParallel or FSDP2, wrap this whole module, not a part of it.
        loss_fn: a function of the features of the whole batch, called as ``loss_fn(*tuple)``, ``loss_fn(**dict)`` or
            ``loss_fn(tensor)``. It returns a scalar, or an object with a scalar ``loss``, as :class:`~infomax.DIMLoss`
            does.
        inputs: input of the encoder: a tensor, a tuple of arguments or a dict of keyword arguments. Tensors are cut
            into chunks along their first axis.
        chunk_size: examples per chunk.
        scaler: the gradient scaler that scales the loss before its backward pass, for float16.
        **loss_options: further arguments of ``loss_fn``, such as ``mask=``.

    Returns:
        The loss, without gradient.

    Raises:
        TypeError: an argument has the wrong type, or the inputs or features are not tensors, tuples or dicts.
        ValueError: the inputs hold no example or have different lengths; the features do not have one row per example;
            the loss is not a scalar; or there is batch norm in training mode or without running statistics, whose
            statistics would be those of a chunk.
        RuntimeError: gradients are off; or the second pass over a chunk gave other features than the first one, so the
            gradients are wrong. This is noticed at the end, when they are added to ``.grad``.

    Numerics:
        The gradient equals the plain gradient to rounding. Dropout and other layers that draw from torch's global
        generators draw the same numbers in both passes over a chunk. A layer that draws from a generator of its own, or
        from NumPy, draws other numbers, which raises. A layer that records something in its forward pass records it
        twice.

    Source:
        Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup" (GradCache).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from infomax import LocalDIMLoss, tap
        >>> from infomax.training import cached_backward
        >>> encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.Flatten(), nn.Linear(72, 4)))
        >>> loss_fn = LocalDIMLoss(local_dim=8, global_dim=4, units=16)
        >>> features = tap(encoder, local="0", global_="1")
        >>> loss = cached_backward(features, loss_fn, torch.randn(32, 3, 5, 5), chunk_size=8)
        >>> encoder[0].weight.grad.shape
        torch.Size([8, 3, 3, 3])
    """
    chunk_size = check_positive("chunk_size", chunk_size)
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a loss or a function of features, got {type(loss_fn).__name__}")
    if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
        raise TypeError(f"scaler must be a torch.amp.GradScaler or None, got {type(scaler).__name__}")
    if not isinstance(features, nn.Module):
        raise TypeError(f"features must be a torch.nn.Module, got {type(features).__name__}")
    for name, module in features.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise ValueError(
                "features must not hold batch norm in training mode or without running statistics, got "
                f"{type(module).__name__} at {name!r}: its statistics would be those of a chunk, not of the batch; use "
                "group or layer norm, or .eval() it"
            )
    if not torch.is_grad_enabled():
        raise RuntimeError("cached_backward needs gradients, got torch.no_grad() or inference mode around it")
    chunks, behind = _cut(inputs, chunk_size)
    kept, states = [], []
    learns: set[Any] = set()
    by_name = False
    for number, chunk in enumerate(chunks):
        states.append(random_state(chain((value for _, value in _named(chunk)), features.parameters())))
        # The first chunk runs with a graph, which shows the outputs that require a gradient.
        with torch.set_grad_enabled(number == 0), no_gradient_sync(features):
            output = _run(features, chunk)
        by_name = isinstance(output, Mapping)
        named = _parts(output, _length(chunk))
        learns |= {name for name, value in named.items() if value.requires_grad}
        kept.append({name: value.detach() for name, value in named.items()})
        del output, named  # frees the graph of the first chunk
    for name, first in kept[0].items():
        shapes = sorted({tuple(part[name].shape[1:]) for part in kept})
        if len(shapes) > 1:
            raise ValueError(
                f"features must give each chunk the same shape after the first axis, got {shape_of(first)} and others: "
                f"{', '.join(map(str, shapes))}; pad all inputs to one length before they are cut"
            )
    torch.clear_autocast_cache()  # torch 2.6 would reuse the weights that were cast here, without gradient
    leaves = {name: torch.cat([part[name] for part in kept]).requires_grad_(name in learns) for name in kept[0]}
    result = loss_fn(**leaves, **loss_options) if by_name else loss_fn(*leaves.values(), **loss_options)
    loss: Tensor = getattr(result, "loss", result)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        kind = shape_of(loss) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn must return a scalar, or something with a scalar loss, got {kind}; use its mean")
    (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
    start = 0
    apart: list[Tensor] = []
    for number, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        stop = start + _length(chunk)
        last = number + 1 == len(chunks)
        with nullcontext() if last else no_gradient_sync(features), replayed(state):
            again = dict(_named(_run(features, chunk)))
            apart += [_difference(again[name], leaf[start:stop]) for name, leaf in leaves.items()]
            parts = [
                (again[name], leaf.grad[start:stop])
                for name, leaf in leaves.items()
                if leaf.grad is not None and again[name].requires_grad
            ]
            if parts:
                outputs, grads = zip(*parts, strict=True)
                torch.autograd.backward(outputs, grads)
        start = stop
    _check_repeated(apart)
    reached = [(value, leaf.grad) for value, leaf in behind if leaf.grad is not None]
    if reached:  # backpropagate through the graph that computed the inputs, once for all chunks
        outputs, grads = zip(*reached, strict=True)
        torch.autograd.backward(outputs, grads)
    return loss.detach()


def _difference(again: Tensor, before: Tensor) -> Tensor:
    """Return the length of the difference of two features, as a multiple of what rounding may do to them; a scalar."""
    with torch.no_grad():
        kind = again.dtype if again.is_floating_point() else torch.float32
        least = _MOST_APART * max(1.0, torch.finfo(kind).eps / torch.finfo(torch.float16).eps)
        one, other = again.detach().float(), before.detach().float()
        apart: Tensor = (one - other).norm() / (least * other.norm()).clamp_min(torch.finfo(torch.float32).tiny)
        return apart


def _check_repeated(apart: list[Tensor]) -> None:
    """Raise if the features of a chunk differed between the two passes; one synchronisation with the device."""
    if apart[0].is_meta:
        return
    worst = float(torch.stack([value.to(apart[0].device) for value in apart]).max())
    if worst > 1:
        raise RuntimeError(
            "features must give the same features in both passes over a chunk, got others in the second pass, so the "
            "gradients are wrong: a layer draws from a generator of its own or from NumPy, or changes its state; draw "
            "from torch's global generator, as dropout does"
        )


def _cut(inputs: Any, size: int) -> tuple[list[Any], list[tuple[Tensor, Tensor]]]:
    """Return the chunks, and each input that has a graph, with the leaf that replaces it in the chunks."""
    tensors = [value for _, value in _named(inputs) if isinstance(value, Tensor)]
    for value in tensors:
        check_differentiable({"inputs": value}, learns=True)
    lengths = {len(value) for value in tensors if value.ndim}
    if len(lengths) != 1 or not all(value.ndim for value in tensors):
        raise ValueError(
            f"inputs must hold tensors with one first axis, got {', '.join(map(shape_of, tensors)) or 'none'}"
        )
    (length,) = lengths
    if length == 0:
        raise ValueError("inputs must hold at least one example, got none")

    behind = [(value, value.detach().requires_grad_()) for value in tensors if value.grad_fn is not None]
    leaves = {id(value): leaf for value, leaf in behind}

    def part(value: Any, start: int) -> Any:
        return leaves.get(id(value), value)[start : start + size] if isinstance(value, Tensor) else value

    starts = range(0, length, size)
    if isinstance(inputs, Tensor):
        return [part(inputs, start) for start in starts], behind
    if isinstance(inputs, Mapping):
        return [{name: part(value, start) for name, value in inputs.items()} for start in starts], behind
    return [tuple(part(value, start) for value in inputs) for start in starts], behind


def _named(values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the parts of a tensor, a tuple or a dict, each with its position or key."""
    if isinstance(values, Tensor):
        yield 0, values
    elif isinstance(values, Mapping):
        yield from values.items()
    elif isinstance(values, tuple | list):
        yield from enumerate(values)
    else:
        raise TypeError(f"inputs and features must be a tensor, a tuple or a dict, got {type(values).__name__}")


def _run(features: nn.Module, chunk: Any) -> Any:
    if isinstance(chunk, Tensor):
        return features(chunk)
    return features(**chunk) if isinstance(chunk, Mapping) else features(*chunk)


def _length(chunk: Any) -> int:
    return next(len(value) for _, value in _named(chunk) if isinstance(value, Tensor))


def _parts(output: Any, length: int) -> dict[Any, Tensor]:
    parts = dict(_named(output))
    for value in parts.values():
        if not isinstance(value, Tensor):
            raise TypeError(f"features must give tensors, got {type(value).__name__}")
        if value.ndim == 0 or len(value) != length:
            raise ValueError(f"features must give one row per example, got {shape_of(value)} for {length} examples")
    return parts
