"""What a trained representation is worth: probes on frozen features."""

from infomax.evaluation.evaluate import Probe, evaluate
from infomax.evaluation.extract import Data, Extracted, Progress, extract_features
from infomax.evaluation.fit import accuracy, fit
from infomax.evaluation.neighbours import Neighbours, knn_probe, nearest_neighbours
from infomax.evaluation.probes import LinearProbe, MLPProbe, Standardise, linear_probe, mlp_probe
from infomax.evaluation.table import ProbeRow, ProbeTable

__all__ = [
    "Data",
    "Extracted",
    "LinearProbe",
    "MLPProbe",
    "Neighbours",
    "Probe",
    "ProbeRow",
    "ProbeTable",
    "Progress",
    "Standardise",
    "accuracy",
    "evaluate",
    "extract_features",
    "fit",
    "knn_probe",
    "linear_probe",
    "mlp_probe",
    "nearest_neighbours",
]
