"""What a trained representation is worth: probes on frozen features, and measures that need no labels."""

from infomax.evaluation.decoder import Decoder
from infomax.evaluation.dependency import neural_dependency, shuffled_units
from infomax.evaluation.evaluate import Probe, evaluate
from infomax.evaluation.extract import Data, Extracted, Progress, extract_features
from infomax.evaluation.fine_tuning import FineTuned, fine_tune
from infomax.evaluation.fit import accuracy, fit
from infomax.evaluation.held_out import HeldOut
from infomax.evaluation.image_information import ImageCritic, image_information
from infomax.evaluation.neighbours import Neighbours, knn_probe, nearest_neighbours
from infomax.evaluation.probes import LinearProbe, MLPProbe, Standardise, linear_probe, mlp_probe
from infomax.evaluation.reconstruction import Reconstruction, ms_ssim, reconstruction
from infomax.evaluation.svm import svm_probe
from infomax.evaluation.table import ProbeRow, ProbeTable

__all__ = [
    "Data",
    "Decoder",
    "Extracted",
    "FineTuned",
    "HeldOut",
    "ImageCritic",
    "LinearProbe",
    "MLPProbe",
    "Neighbours",
    "Probe",
    "ProbeRow",
    "ProbeTable",
    "Progress",
    "Reconstruction",
    "Standardise",
    "accuracy",
    "evaluate",
    "extract_features",
    "fine_tune",
    "fit",
    "image_information",
    "knn_probe",
    "linear_probe",
    "mlp_probe",
    "ms_ssim",
    "nearest_neighbours",
    "neural_dependency",
    "reconstruction",
    "shuffled_units",
    "svm_probe",
]
