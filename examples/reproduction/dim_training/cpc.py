"""Contrastive predictive coding (van den Oord et al. 2018), a baseline: crops predict the crops in rows below them."""

import torch
from torch import Tensor, nn

from infomax import BilinearCritic, PairScores
from infomax import functional as F
from infomax.encoders import StagedEncoder, StridedCrops
from infomax.features import Features

from .errors import BadInput
from .objective import Batch, Step

STEPS = 5


class Context(nn.Module):
    """Crop vectors (N, c, h, w) to contexts (N, width, h, w), each of which depends on its own row and the rows above.

    The network has residual layers of 3x3 convolutions over a row and the two rows above it. These are the masked
    kernels of a PixelCNN, except that a context sees its whole row, since only rows below are predicted. With three
    layers, a context sees six rows up and three columns to each side. There is no batch norm, because its statistics
    would carry information from the rows below upwards.
    """

    def __init__(self, channels: int, width: int, layers: int = 3) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.ZeroPad2d((1, 1, 2, 0)), nn.Conv2d(width, width, 3), nn.ReLU(), nn.Conv2d(width, width, 1)
            )
            for _ in range(layers)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Return the contexts of crop vectors."""
        context = self.reduce(crops)
        for layer in self.layers:
            context = context + layer(context)
        return context


class ContrastivePredictiveCoding(nn.Module):
    """InfoNCE of the context of a crop and the crop k rows below it, averaged over k = 1, ..., 5 or as many as fit.

    The score of step k is `s <z, W_k c>`, with s = 1 / sqrt(channels of z), so that scores start near 1; the source has
    no such factor. The contexts of all rows predict, including those of the first row. Crops overlap by half, as in the
    source, so a context has already seen a part of the pixels that step 1 predicts.

    The negatives of a prediction are all other crops that step k predicts: those of other images, as everywhere in the
    library, and those at other locations of the same image, as in the source. To include the latter, every crop counts
    as an example. The source draws a set of negatives; here all are used, N L - 1 for N images with L predicted crops
    each. Crops of the same image are not independent of the context, so the estimate can exceed what the N - 1 other
    images alone would give, but by at most log(N / (N - 1)) nats. These crops never lower the loss; they only raise the
    ceiling.
    """

    def __init__(self, encoder: StagedEncoder, width: int = 256) -> None:
        super().__init__()
        if not isinstance(encoder.local, StridedCrops) or encoder.local_size[0] < 2:
            raise BadInput(
                "--encoder: expected one on crops, with two rows of them or more, so that one may predict the next; "
                f"got a local map of {encoder.local_size} from {type(encoder.local).__name__}"
            )
        self.encoder = encoder
        self.context = Context(encoder.local_dim, width)
        steps = range(1, min(STEPS, encoder.local_size[0] - 1) + 1)
        scale = encoder.local_dim**-0.5
        self.critics = nn.ModuleList(BilinearCritic(encoder.local_dim, width, scale=scale) for _ in steps)
        self.columns = (*(f"below_{k}" for k in steps), "mi", "mi_ceiling")

    def forward(self, batch: Batch) -> Step:
        """Return the mean of the losses of all steps, with each loss as a part to report."""
        crops = self.encoder.local(batch.images)
        context = self.context(crops)
        losses = torch.stack([F.infonce_loss(scores) for scores in self.scores(crops, context)])
        parts = dict(zip(self.columns, losses.detach(), strict=False))
        return Step(losses.mean(), parts, Features(crops.detach(), context.detach()))

    def scores(self, crops: Tensor, context: Tensor) -> list[PairScores]:
        """Return the scores of every step k: the contexts of all rows but the last k, with the crops k rows below."""
        return [
            critic(_rows(crops[:, :, k:]), _rows(context[:, :, :-k])) for k, critic in enumerate(self.critics, start=1)
        ]

    @torch.no_grad()
    def information(self, features: Features) -> dict[str, float]:
        """Return the nats between a context and a crop below it, and their ceiling log(N L), both means over steps."""
        scores = self.scores(*features)
        found = torch.stack([F.infonce_estimate(each) for each in scores]).mean()
        ceiling = torch.stack([each.count().log1p().mean() for each in scores]).mean()
        return {"mi": found.item(), "mi_ceiling": ceiling.item()}


def _rows(grid: Tensor) -> Tensor:
    """Return (N, c, h, w) as (N h w, c), so that every location is an example."""
    return grid.movedim(1, -1).flatten(0, 2)
