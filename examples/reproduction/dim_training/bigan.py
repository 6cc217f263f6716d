"""BiGAN (Donahue et al. 2017, Dumoulin et al. 2017), a baseline: an encoder trained as the inverse of a generator."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from infomax.encoders import ConvEncoder

from .decoder import Decoder, convolutions
from .objective import Batch, Step

SLOPE = 0.2


class PairDiscriminator(nn.Module):
    """A discriminator between pairs (image, its code) and pairs (generated image, the code it was made from).

    Its layers are the encoder's convolutions without batch norm. Their output and the code are concatenated, and a
    hidden layer maps them to one score per pair.
    """

    def __init__(self, encoder: ConvEncoder, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for conv, pool in convolutions(encoder):
            layers.append(nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding))
            layers.append(nn.LeakyReLU(SLOPE))
            if pool is not None:
                layers.append(nn.MaxPool2d(pool.kernel_size, pool.stride))
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        first = next(layer for layer in encoder.fc.modules() if isinstance(layer, nn.Linear))
        self.head = nn.Sequential(
            nn.Linear(first.in_features + encoder.global_dim, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 1)
        )

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Return scores (n,), high for the encoder's pairs."""
        return self.head(torch.cat([self.trunk(images), codes], 1)).squeeze(1)


class BiGAN(nn.Module):
    """Encoder, generator and discriminator, trained in one step in which each gets the gradient of its own loss only.

    The discriminator minimises `sp(-D(x, E(x))) + sp(D(G(z), z))` on detached pairs. Encoder and generator minimise the
    same loss with the sign of D reversed and the weights of D detached. z is standard normal.
    """

    columns = ("discriminator", "adversary")

    def __init__(self, encoder: ConvEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = Decoder(encoder)
        self.discriminator = PairDiscriminator(encoder)

    def forward(self, batch: Batch) -> Step:
        """Return the sum of both losses."""
        if any(hasattr(weight, "full_tensor") for weight in self.discriminator.parameters()):
            # The hooks of the discriminator would gather its weights, in place of the detached ones below.
            raise NotImplementedError(
                "discriminator must not be sharded by itself; apply fully_shard to the whole BiGAN"
            )
        codes = self.encoder(batch.images).global_
        noise = torch.randn_like(codes)
        images = torch.cat([batch.images, self.generator(noise)])
        codes = torch.cat([codes, noise])
        encoded, generated = self.discriminator(images.detach(), codes.detach()).float().chunk(2)
        judge = softplus(-encoded).mean() + softplus(generated).mean()
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        encoded, generated = torch.func.functional_call(self.discriminator, frozen, (images, codes)).float().chunk(2)
        adversary = softplus(encoded).mean() + softplus(-generated).mean()
        return Step(judge + adversary, {"discriminator": judge.detach(), "adversary": adversary.detach()}, None)
