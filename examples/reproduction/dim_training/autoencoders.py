"""Baselines that learn `y` by reconstructing the image from it: an autoencoder and a variational autoencoder."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from infomax.encoders import ConvEncoder

from .decoder import Decoder
from .objective import Batch, Step


class Autoencoder(nn.Module):
    """An encoder and a mirrored decoder, trained with the mean squared error of the pixels."""

    columns = ()

    def __init__(self, encoder: ConvEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder)

    def forward(self, batch: Batch) -> Step:
        """Return the mean squared error of the reconstruction; pixels are in [-1, 1]."""
        images = self.decoder(self.encoder(batch.images).global_)
        return Step(mse_loss(images, batch.images), {}, None)


class VariationalAutoencoder(nn.Module):
    """A Gaussian posterior with mean `y`, a standard normal prior, and a Gaussian likelihood of variance 1 per pixel.

    The loss is minus the evidence lower bound, in nats per image and without its constant: distortion plus rate
    (Kingma & Welling 2014). The rate is an upper bound on the information between the image and the sampled `y`.
    """

    columns = ("distortion", "rate")

    def __init__(self, encoder: ConvEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder)
        self.log_variance = nn.Linear(encoder.y.in_features, encoder.global_dim)

    def forward(self, batch: Batch) -> Step:
        """Return distortion plus rate."""
        encoder = self.encoder
        hidden = encoder.fc(encoder.conv(encoder.local(batch.images)))
        mean, log_variance = encoder.y(hidden), self.log_variance(hidden)
        sample = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        distortion = 0.5 * (self.decoder(sample) - batch.images).square().flatten(1).sum(1).mean()
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return Step(distortion + rate, {"distortion": distortion.detach(), "rate": rate.detach()}, None)
