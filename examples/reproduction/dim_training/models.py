"""The objectives by name. Each is a module around the encoder that takes a batch and returns a `Step`.

Besides ``forward``, a model has ``encoder`` and ``columns``, the names of its parts in metrics.csv. If its steps have
features, the model also has ``information``, which computes more numbers to report from them.
"""

from torch import nn

from infomax.encoders import StagedEncoder

from .autoencoders import Autoencoder, VariationalAutoencoder
from .bigan import BiGAN
from .cpc import ContrastivePredictiveCoding
from .data import Images
from .errors import BadInput
from .nat import NoiseAsTargets
from .objective import DeepInfoMax, Supervised
from .options import Options

ALONE = ("nat", "cpc")  # for one process: nat exchanges targets between images, cpc does not gather negatives


def build_model(options: Options, encoder: StagedEncoder, images: Images, processes: int = 1) -> nn.Module:
    """Build the model that ``--objective`` names around ``encoder``. Add your own model here."""
    if processes > 1 and options.objective in ALONE:
        raise BadInput(
            f"--objective {options.objective}: expected one process; got {processes}: run it without torchrun"
        )
    if options.objective == "supervised":
        if not images.has_labels or (images.train.labels < 0).any():
            raise BadInput(f"--objective supervised: expected training images of two classes or more; {images.lack}")
        return Supervised(encoder, len(images.classes))
    if options.objective == "nat":
        return NoiseAsTargets(encoder, len(images.train.pixels))
    if options.objective == "dim":
        return DeepInfoMax(encoder, options, gather=processes > 1)
    baselines = {
        "autoencoder": Autoencoder,
        "vae": VariationalAutoencoder,
        "bigan": BiGAN,
        "cpc": ContrastivePredictiveCoding,
    }
    return baselines[options.objective](encoder)
