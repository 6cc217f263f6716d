"""The local objective: information between every location and the global feature."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax._checks import check_positive
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

    A critic scores all pairs of a local and a global feature. Pairs of the same example are joint, and pairs of
    different examples are marginal. An estimator turns the scores into the loss. One backward pass trains critic and
    encoder, so give the optimizer the parameters of both.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        estimator: ``"infonce"``, ``"jsd"``, ``"logistic"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, ``"tuba"``,
            ``"alpha_tuba"``, ``"wasserstein"``, ``"club"``, ``"leave_one_out"``, an f-divergence (``"kl"``,
            ``"hellinger"``, ``"chi2"``, ``"gan"``), a module, or a callable that makes one, such as ``MINE``.
        critic: ``"dot"``, ``"concat"``, ``"bilinear"``, ``"cosine"``, ``"gaussian"``, ``"lipschitz"``; a module: a
            :class:`~infomax.Critic`, or one that scores aligned rows (B, c) and (B, d); or a callable that makes one
            from both dimensions, such as ``partial(DotCritic, units=256)``.
        units: width of a critic given by name; its own default when None (dot 2048, concat 512, cosine 256;
            bilinear has none).
        in_batch: take the other examples' locations as negatives. With False, only the ``negatives=`` of the
            call are negatives.
        sample_locations: draw this many locations of each example per call, before the projection, which then does
            less work; all of them when None.
        sample_negatives: score each global against the locations of this many other examples; of all when None.
        gather: take negatives from the other processes as well. The loss and, averaged over processes, the gradients
            are then those of one process with the whole batch. ``True`` holds the projected locals of all processes at
            once; ``"ring"`` those of one other process at a time, and sends them round twice per step.
        process_group: which processes; those of the default process group when None.
        reduction: ``"mean"``, or ``"none"`` for a value per global, where the estimator has one.
        device: where the parameters are.
        dtype: of the parameters.

    Shapes:
        - local: (N, c, \*spatial), any number of spatial axes, N at least 2
        - global\_: (N, d), or (N, d, \*spatial) for several globals per example
        - mask: (N, \*spatial), bool, True at a real location. Locations where it is False have no influence.
          An example without a real location has no influence either: its globals are left out
        - local: (K, c) with ``batch``, (K,) integers in any order, the example of each row: a ragged batch, equal to a
          padded one with a mask
        - negatives: (L, c) or (L, c, \*spatial), marginal for every global beside the other examples' locations; N may
          be 1 then
        - group: (N,) integers; examples of one group are no negatives of each other. (N + L,): the given negatives have
          groups, too; else they are negatives of every example
        - result: a scalar, float32 (float64 for float64 features). With ``reduction="none"`` (N,) or (N, \*spatial),
          0 for an example without a real location

    Raises:
        TypeError: a dtype is not real floating or not that of the parameters, the mask is not bool, an option has the
            wrong type.
        ValueError: ranks, batch sizes, channels, devices or the mask do not fit; N is 1; a name is unknown; estimator
            and critic do not fit together.
        RuntimeError: with ``gather``, another process raised an error.

    Numerics:
        Scores, sums and the loss are float32 also under autocast. Memory of the pairs stays within the workspace of
        :func:`infomax.ops.use_workspace`, whatever the batch.

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
        """Build the loss for a module that returns local and global features, after one forward pass.

        The pass is in evaluation mode without gradients. Training modes, gradients, buffers such as batch-norm
        statistics, and torch's random state are as before.

        Args:
            features: a `infomax.tap`, or any module that returns local and global features.
            example_batch: what to call it with; one example is enough. A tuple holds several arguments, a dict keyword
                arguments.
            **options: those of the class but for the sizes. The device is that of the features, if not given.

        Raises:
            TypeError: ``features`` is no module, or does not return two tensors; a size is among the options.
            ValueError: features without channels.

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
        return rows

    def extra_repr(self) -> str:
        return f"sample_locations={self.sample_locations}, {super().extra_repr()}"
