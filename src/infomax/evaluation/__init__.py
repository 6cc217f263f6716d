"""Evaluating a trained representation: probes on frozen features, and measures that need no labels."""

from infomax.evaluation.evaluate import Probe, evaluate
from infomax.evaluation.extract import Data, Extracted, Progress, extract_features
from infomax.evaluation.fine_tuning import FineTuned, fine_tune
from infomax.evaluation.fit import accuracy, fit
from infomax.evaluation.label_free.decoder import Decoder
from infomax.evaluation.label_free.dependency import neural_dependency, shuffled_units
from infomax.evaluation.label_free.held_out import HeldOut
from infomax.evaluation.label_free.image_information import ImageCritic, image_information
from infomax.evaluation.label_free.reconstruction import Reconstruction, reconstruction
from infomax.evaluation.label_free.similarity import ms_ssim
from infomax.evaluation.probes.linear import LinearProbe, linear_probe
from infomax.evaluation.probes.mlp import MLPProbe, mlp_probe
from infomax.evaluation.probes.neighbours import Neighbours, knn_probe, nearest_neighbours
from infomax.evaluation.probes.svm import svm_probe
from infomax.evaluation.probes.tuned import Trial, TunedProbe
from infomax.evaluation.standardise import Standardise
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
    "Trial",
    "TunedProbe",
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
