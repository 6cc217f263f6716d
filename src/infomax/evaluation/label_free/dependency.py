"""The neural dependency measure: how far the units of a representation are from being independent."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from infomax import functional as F
from infomax._checks import check_floating, check_positive, check_sizes, shape_of
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_frozen
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import seeded
from infomax.evaluation.label_free.held_out import HeldOut, parts, train_critic
from infomax.evaluation.standardise import Standardise
from infomax.scores import PairScores

__all__ = ["neural_dependency", "shuffled_units"]

_ROWS = 8192  # rows per call of the critic


def neural_dependency(
    train_features: Tensor,
    test_features: Tensor,
    *,
    hidden: tuple[int, ...] = (1000, 200),
    epochs: int | None = None,
    lr: float = 1e-3,
    batch_size: int = 512,
    weight_decay: float = 1e-3,
    shuffles: int = 10,
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> HeldOut:
    r"""Estimate how much the units of a representation depend on each other, in nats; 0 where they are independent.

    .. math:: D_{KL}\Big( p(y) \,\Big\|\, \textstyle\prod_k p(y_k) \Big) \ge
              \mathbb{E}_{p(y)}[T] - \log \mathbb{E}_{\prod_k p(y_k)}[e^T]

    The quantity is also called the total correlation of the units. A small network T, the critic, learns to distinguish
    the rows from shuffled rows, in which each unit is shuffled over the batch independently. It is trained on nine
    tenths of the training features; the estimate on the remaining tenth selects the weights. The result is computed on
    the test features alone, because the estimate on a critic's own training rows is biased upwards.

    Args:
        train_features: (N, D), to train the critic on.
        test_features: (M, D), to measure on, from the same distribution and on the same device.
        hidden: widths of the critic's hidden layers.
        epochs: largest number of passes over the training part; when None, 20, or as many as make 1,000 steps if 20
            passes make fewer.
        lr: initial learning rate of AdamW; it decays along a cosine.
        batch_size: rows per step; as many shuffled rows are added.
        weight_decay: weight decay of AdamW.
        shuffles: number of shuffled copies of the test features over which the estimate averages e^T.
        random_state: an integer or a generator that determines weights, order of rows and shuffles.
        progress: called after each validation with ``"critic"``, the steps done and the largest number of steps.

    Returns:
        `HeldOut`: ``nats`` on the test features; ``limit``, log M, above which M rows can certify little; and more.

    Raises:
        TypeError: the features are not floating point.
        ValueError: shapes do not fit, there are fewer than 4 rows, features are not finite, an option is out of range,
            or the training diverges.

    Numerics:
        Works in float32. Features are first standardised unit by unit, which does not change the quantity; a constant
        unit adds nothing to it.

    Source:
        Hjelm et al., ICLR 2019, section 4.1 (NDM). Validation, early stopping and the held-out estimate are additions
        of this library.

    Example:
        >>> y = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> y[:, 1] = 0.8 * y[:, 0] + 0.6 * y[:, 1]  # total correlation: -log(1 - 0.8^2) / 2 = 0.51
        >>> found = neural_dependency(y[:3000], y[3000:], hidden=(100,), epochs=20,
        ...                           batch_size=100, lr=3e-3, random_state=1)
        >>> 0.4 < found.nats < 0.6
        True
    """
    train, test = check_frozen(train_features, test_features, at_least=4)
    shuffles = check_positive("shuffles", shuffles)
    hidden = check_sizes("hidden", hidden, at_least=0)
    generator = as_generator(random_state)
    device = train.device
    standardise = Standardise(train)
    train, test = standardise(train), standardise(test)
    fitted, held = parts(len(train), 0.1, generator)
    with seeded(generator, device):
        critic = _critic(train.shape[1], hidden).to(device, train.dtype)

        def nats(rows: Tensor) -> float:
            return float(F.dv_estimate(_scores(critic, rows, shuffles)))

        validation, epoch = train_critic(
            critic,
            lambda rows: _scores(critic, train[rows.to(device)], 1),
            lambda: nats(train[held.to(device)]),
            fitted,
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            weight_decay=weight_decay,
            generator=generator,
            progress=progress,
        )
        with torch.no_grad():
            return HeldOut(nats(test), math.log(len(test)), validation, epoch)


def shuffled_units(features: Tensor) -> Tensor:
    """Shuffle each unit over the rows independently, which keeps its values and removes dependence between units.

    Args:
        features: (N, D).

    Returns:
        (N, D). The order is drawn from torch's global generator.

    Raises:
        TypeError: ``features`` is not floating point.
        ValueError: ``features`` does not have two axes.

    Example:
        >>> rows = torch.arange(6.0).view(3, 2)
        >>> torch.equal(shuffled_units(rows).sort(0).values, rows)
        True
    """
    check_floating("features", features)
    if features.ndim != 2:
        raise ValueError(f"features must have shape (N, D), got {shape_of(features)}")
    order = torch.rand(features.shape, device=features.device).argsort(0)
    return features.gather(0, order)


def _critic(width: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Return a network whose scores are initially all 0, so that training starts from a constant critic."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, units in enumerate(hidden, start=1):
        layers[f"hidden{number}"] = nn.Linear(width, units)
        layers[f"activation{number}"] = nn.ReLU()
        width = units
    layers["output"] = output = nn.Linear(width, 1)
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(layers)


def _scores(critic: nn.Module, rows: Tensor, shuffles: int) -> PairScores:
    """Return scores with the rows as joint pairs, and the shuffled copies of each row as its marginal pairs."""
    shuffled = [shuffled_units(rows) for _ in range(shuffles)]
    everything = torch.cat([rows, *shuffled])
    scores = torch.cat([critic(part) for part in torch.split(everything, _ROWS)]).view(1 + shuffles, len(rows))
    return F.paired_scores(scores[0], scores[1:].T)
