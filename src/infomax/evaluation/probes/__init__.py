"""Classifiers on frozen features, trained or nearest-neighbour, that measure how well the features separate classes."""

from infomax.evaluation.probes.linear import LinearProbe, linear_probe
from infomax.evaluation.probes.mlp import MLPProbe, mlp_probe
from infomax.evaluation.probes.neighbours import Neighbours, knn_probe, nearest_neighbours
from infomax.evaluation.probes.svm import svm_probe
from infomax.evaluation.probes.tuned import Trial, TunedProbe

__all__ = [
    "LinearProbe",
    "MLPProbe",
    "Neighbours",
    "Trial",
    "TunedProbe",
    "knn_probe",
    "linear_probe",
    "mlp_probe",
    "nearest_neighbours",
    "svm_probe",
]
