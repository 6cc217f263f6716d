"""Noise as targets (Bojanowski & Joulin 2017), a baseline: the target of every image is a random direction."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from infomax.encoders import StagedEncoder

from .objective import Batch, Step


class NoiseAsTargets(nn.Module):
    """The squared distance of normalised `y` to targets on the unit sphere, which the images of a batch may exchange.

    The targets are drawn once. Each step reassigns the targets of the batch so that the sum of squared distances is
    smallest, and then moves `y` towards its target. The paper trains on image gradients, this class on the images.
    """

    columns = ("moved",)  # the share of images that got another target

    def __init__(self, encoder: StagedEncoder, images: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("targets", normalize(torch.randn(images, encoder.global_dim)))

    def forward(self, batch: Batch) -> Step:
        """Return the mean squared distance between `y` and its target: about 2 at random, 0 at best."""
        y = normalize(self.encoder(batch.images).global_.float())
        targets = self.targets[batch.index]
        order = cheapest(-(y.detach() @ targets.T))
        targets = targets[order]
        with torch.no_grad():
            self.targets[batch.index] = targets
        moved = (order != torch.arange(len(order), device=order.device)).float().mean()
        return Step((y - targets).square().sum(1).mean(), {"moved": moved}, None)


def cheapest(cost: Tensor) -> Tensor:
    """Return a column for each row of ``cost`` (n, n), each column once, so that the sum of the costs is smallest."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns).to(cost.device)
