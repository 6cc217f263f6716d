"""The local objective: information between every location and the global feature."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax._checks import check_positive, shape_of
from infomax._precision import place
from infomax.critics import CriticLike
from infomax.estimators import EstimatorLike
from infomax.losses.base import Gather, InformationLoss
from infomax.losses.sizing import sized
from infomax.pairs.rows import Rows, pair_rows

__all__ = ["LocalDIMLoss"]


class LocalDIMLoss(InformationLoss):
    r"""Deep InfoMax (local): minus a bound on the information between locations and globals of the same example.

    .. math:: \mathcal{L} = -\hat{I}_T\big( X_\mathrm{loc}; Y \big)

    A critic scores all pairs of a local and a global feature. Pairs from the same example are joint, and pairs from
    different examples are marginal. An estimator computes the loss from the scores. One backward pass trains the critic
    and the encoder, so give the optimizer the parameters of both.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        estimator: ``"infonce"``, ``"jsd"``, ``"logistic"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, ``"tuba"``,
            ``"alpha_tuba"``, ``"wasserstein"``, ``"club"``, ``"leave_one_out"``, an f-divergence (``"kl"``,
            ``"hellinger"``, ``"chi2"``, ``"gan"``), a module, or a callable that makes one, such as ``MINE``.
        critic: ``"dot"``, ``"concat"``, ``"bilinear"``, ``"cosine"``, ``"gaussian"`` or ``"lipschitz"``; or a module,
            either a :class:`~infomax.Critic` or one that scores aligned rows (B, c) and (B, d); or a callable that
            makes a critic from both dimensions, such as ``partial(DotCritic, units=256)``.
        units: width of a critic given by name; the critic's default when None (dot 512, concat 512, cosine 256;
            bilinear has no width). The paper has 2048, which is slower; see :class:`~infomax.DotCritic`.
        in_batch: whether the other examples' locations are negatives. With False, only the ``negatives=`` of the call
            are negatives.
        sample_locations: number of locations of each example that each call draws, before the projection, which then
            does less work; all when None.
        sample_negatives: number of other examples whose locations each global is scored against; all when None.
        gather: whether to take negatives from the other processes as well. The loss, and the gradients averaged over
            processes, are then those of one process with the whole batch. ``True`` holds the projected locals of all
            processes at once; ``"ring"`` holds those of one other process at a time, and passes them around all
            processes twice per step.
        process_group: the group of these processes; the default process group when None.
        reduction: ``"mean"``, or ``"none"`` for one value per global, where the estimator has such values.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shapes:
        - local: (N, c, \*spatial), any number of spatial axes, N at least 2
        - global\_: (N, d), or (N, d, \*spatial) for several globals per example
        - mask: (N, \*spatial), bool, True at a real location. The other locations have no influence. An example without
          a real location has no influence either: its globals are left out
        - local and batch, for a ragged batch: rows (K, c), and the example of each row, (K,) integers in any order. The
          result is that of a padded batch with a mask
        - negatives: (L, c) or (L, c, \*spatial), marginal for every global in addition to the other examples'
          locations; N may then be 1
        - group: (N,) integers; examples of the same group are not negatives of each other. With (N,), the given
          negatives are negatives of every example; with (N + L,), they have groups too
        - result: a scalar, float32 (float64 for float64 features). With ``reduction="none"`` (N,) or (N, \*spatial),
          0 for an example without a real location

    Warns:
        UserWarning: ``local`` is (N, c) and ``global_`` has spatial axes, as when the two are swapped.

    Raises:
        TypeError: a dtype is not real floating or not that of the parameters, the mask is not bool, or an option has
            the wrong type.
        ValueError: ranks, batch sizes, channels, devices or the mask do not fit; N is 1; a name is unknown; or the
            estimator and the critic do not fit together.
        RuntimeError: with ``gather``, another process raised an error.

    Numerics:
        Scores, sums and the loss are float32, under autocast too. The memory for pairs stays within the workspace of
        :func:`infomax.ops.use_workspace`, whatever the batch size.

    Source:
        Hjelm et al. 2019, eq. 6.

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss
        >>> loss_fn = LocalDIMLoss(local_dim=128, global_dim=64, units=256)
        >>> local, global_ = torch.randn(8, 128, 8, 8), torch.randn(8, 64)
        >>> loss_fn(local, global_).backward()
        >>> nats = loss_fn.mutual_information(local, global_)
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        estimator: EstimatorLike = "infonce",
        critic: CriticLike = "dot",
        units: int | None = None,
        sample_locations: int | None = None,
        in_batch: bool = True,
        sample_negatives: int | None = None,
        gather: Gather = False,
        process_group: dist.ProcessGroup | None = None,
        reduction: Literal["mean", "none"] = "mean",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            local_dim,
            global_dim,
            estimator=estimator,
            critic=critic,
            units=units,
            in_batch=in_batch,
            sample_negatives=sample_negatives,
            gather=gather,
            process_group=process_group,
            reduction=reduction,
        )
        if sample_locations is not None:
            sample_locations = check_positive("sample_locations", sample_locations)
        self.sample_locations = sample_locations
        place(self, device, dtype)

    @classmethod
    def from_features(cls, features: nn.Module, example_batch: Any, **options: Any) -> LocalDIMLoss:
        """Build the loss for a module that returns local and global features, whose sizes one forward pass determines.

        The pass runs in evaluation mode without gradients. Training modes, gradients, buffers such as batch-norm
        statistics, and torch's random state are as before.

        Args:
            features: an `infomax.tap`, or any module that returns local and global features.
            example_batch: the input of the module; one example is enough. A tuple holds several arguments, a dict holds
                keyword arguments.
            **options: options of the class except the sizes. The default device is that of the features.

        Raises:
            TypeError: ``features`` is not a module or does not return two tensors, or a size is among the options.
            ValueError: a returned tensor has no channel axis.

        Example:
            >>> import torch
            >>> from infomax import LocalDIMLoss, encoders
            >>> loss_fn = LocalDIMLoss.from_features(encoders.conv32(), torch.rand(1, 3, 32, 32), units=256)
            >>> loss_fn.critic.local_projection.hidden.in_features
            128
        """
        return cls(**sized(features, example_batch, options, "local_dim", "global_dim"))

    def pair(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
        at_least: int = 2,
    ) -> Rows:
        rows = pair_rows(
            local,
            global_,
            mask,
            batch=batch,
            negatives=negatives,
            group=group,
            in_batch=self.in_batch,
            sample_locations=self.sample_locations,
            sample_negatives=self.sample_negatives,
            generator=generator,
            at_least=at_least,
        )
        self.critic.check(local, global_)
        if batch is None and local.ndim == 2 and global_.ndim > 2 and not torch.compiler.is_compiling():
            warnings.warn(
                f"local {shape_of(local)} has one location per example and global_ {shape_of(global_)} has several: "
                "are they swapped? If not, pass local as (N, c, 1)",
                stacklevel=2,
            )
        return rows

    def extra_repr(self) -> str:
        return f"sample_locations={self.sample_locations}, {super().extra_repr()}"
