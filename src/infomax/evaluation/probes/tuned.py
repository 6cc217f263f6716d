"""Choosing the options of a probe on training examples that it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infomax._checks import check_positive
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_labelled
from infomax.evaluation.extract import Progress

__all__ = ["Trial", "TunedProbe"]


class Trial(NamedTuple):
    """A setting that was tried, and its accuracy on the examples left out.

    Example:
        >>> max(Trial({"lr": 0.1}, 0.5), Trial({"lr": 0.2}, 0.75), key=lambda trial: trial.accuracy).settings
        {'lr': 0.2}
    """

    settings: Mapping[str, Any]
    accuracy: float


class TunedProbe:
    """A probe whose options are chosen by its accuracy on training examples that it leaves out, not on the test set.

    The probe is trained with each setting on the other training examples. The setting with the best accuracy on the
    examples left out (the first of equal ones) is then used to train the probe on all training examples, and the result
    is the accuracy on the test set.

    Args:
        probe: a function such as `mlp_probe`, called with features, labels, ``random_state``, ``progress`` and the
            options of a setting.
        settings: keyword arguments of the probe to choose from, one mapping for each setting.
        validation: number of training examples to leave out. They are drawn at random, and each class has its share of
            them. If there are fewer than ``2 * validation`` training examples, half of them are left out.

    Attributes:
        trials: a list for each call, with a `Trial` for each setting.

    Raises:
        TypeError: the probe is not callable, or ``settings`` is not a sequence of mappings.
        ValueError: there is no setting, one names ``random_state`` or ``progress``, or ``validation`` is below 1.

    Example:
        >>> from infomax.evaluation import evaluate, mlp_probe
        >>> tuned = TunedProbe(mlp_probe, [{"lr": 3e-3}, {"lr": 1e-2, "weight_decay": 1e-4}], validation=16)
        >>> pixels, labels = torch.nn.Flatten(), torch.arange(64) % 2
        >>> images = torch.rand(64, 1, 4, 4) + labels.view(-1, 1, 1, 1)
        >>> table = evaluate(pixels, (images, labels), (images, labels), layers={"pixels": ""}, probes={"mlp": tuned})
        >>> table.rows[0].accuracy, tuned.chosen == tuned.trials[-1][0].settings
        (1.0, True)
    """

    def __init__(
        self, probe: Callable[..., float], settings: Sequence[Mapping[str, Any]], *, validation: int = 5000
    ) -> None:
        if not callable(probe):
            raise TypeError(f"probe must be a function such as mlp_probe, got {type(probe).__name__}")
        if not isinstance(settings, Sequence) or isinstance(settings, str):
            raise TypeError(f"settings must be a sequence of dicts of options, got {type(settings).__name__}")
        for setting in settings:
            if not isinstance(setting, Mapping):
                raise TypeError(f"settings must hold dicts of options, got {type(setting).__name__} in it")
            if not all(isinstance(name, str) and name not in ("random_state", "progress") for name in setting):
                raise ValueError(
                    f"settings must hold options of the probe by name, except random_state and progress, got {setting}"
                )
        if not settings:
            raise ValueError("settings must hold at least one dict of options, got none")
        self.probe = probe
        self.settings = [dict(setting) for setting in settings]
        self.validation = check_positive("validation", validation)
        self.trials: list[list[Trial]] = []

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The setting chosen in the last call."""
        if not self.trials:
            raise RuntimeError("chosen is known after a call of the probe; there was none")
        return max(self.trials[-1], key=lambda trial: trial.accuracy).settings

    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        /,
        *,
        random_state: RandomState = None,
        progress: Progress | None = None,
    ) -> float:
        """Return the accuracy on the test set, between 0 and 1, with the setting that is chosen on training examples.

        Raises:
            TypeError: dtypes do not fit.
            ValueError: as the probe does; or the examples that are not left out have a single class.
        """
        train, _, _ = check_labelled(train_features, train_labels, test_features, test_labels)
        generator = as_generator(random_state)
        kept, left_out = _split(train.labels, self.validation, generator)
        if len(torch.unique(train.labels[kept])) < 2:
            raise ValueError(
                f"train_labels must hold two classes among the {len(kept)} examples that are not left out, got one; "
                "lower validation, or use the probe itself"
            )
        seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
        train_labels = train_labels.to(train.labels.device)
        parts = train_features[kept], train_labels[kept], train_features[left_out], train_labels[left_out]
        trials = [
            Trial(setting, float(self.probe(*parts, random_state=seed, progress=progress, **setting)))
            for setting in self.settings
        ]
        del parts
        self.trials.append(trials)
        test = test_features, test_labels
        return self.probe(train_features, train_labels, *test, random_state=seed, progress=progress, **self.chosen)


def _split(labels: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the indices of the examples to keep and of those to leave out, an even share of each class."""
    total = len(labels)
    count = min(count, total // 2)
    order = torch.randperm(total, generator=generator, device="cpu").to(labels.device)
    order = order[labels[order].argsort(stable=True)]  # class by class, in random order within each class
    chosen = torch.zeros(total, dtype=torch.bool, device=labels.device)
    chosen[(torch.arange(count, device=labels.device) * total + total // 2) // max(count, 1)] = True
    return order[~chosen].sort().values, order[chosen].sort().values
