"""Measures of frozen features that need no labels."""

from infomax.evaluation.label_free.decoder import Decoder
from infomax.evaluation.label_free.dependency import neural_dependency, shuffled_units
from infomax.evaluation.label_free.held_out import HeldOut
from infomax.evaluation.label_free.image_information import ImageCritic, image_information
from infomax.evaluation.label_free.reconstruction import Reconstruction, reconstruction
from infomax.evaluation.label_free.similarity import ms_ssim

__all__ = [
    "Decoder",
    "HeldOut",
    "ImageCritic",
    "Reconstruction",
    "image_information",
    "ms_ssim",
    "neural_dependency",
    "reconstruction",
    "shuffled_units",
]
