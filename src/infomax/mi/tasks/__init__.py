"""Tasks with known mutual information, on which estimators can be tried."""

from infomax.mi.tasks.additive import additive_noise
from infomax.mi.tasks.catalogue import beyond_normal, more_tasks
from infomax.mi.tasks.components import (
    correlated_normal,
    log_gamma_exponential,
    quantized,
    smoothed_discrete,
    smoothed_uniform,
)
from infomax.mi.tasks.functional import equal_levels, function_of, noisy_sine, noisy_square, strong
from infomax.mi.tasks.gaussian import dense_gaussian, gaussian, gaussian_nats, independent, sparse_gaussian
from infomax.mi.tasks.grid import mutinfo_grid
from infomax.mi.tasks.mixture import four_clouds, gaussian_mixture
from infomax.mi.tasks.neural_critics import (
    concentric_gaussians,
    cross,
    galaxy,
    inliers,
    letters,
    mixtures,
    waves,
)
from infomax.mi.tasks.student import student_t
from infomax.mi.tasks.task import Task, transformed

__all__ = [
    "Task",
    "additive_noise",
    "beyond_normal",
    "concentric_gaussians",
    "correlated_normal",
    "cross",
    "dense_gaussian",
    "equal_levels",
    "four_clouds",
    "function_of",
    "galaxy",
    "gaussian",
    "gaussian_mixture",
    "gaussian_nats",
    "independent",
    "inliers",
    "letters",
    "log_gamma_exponential",
    "mixtures",
    "more_tasks",
    "mutinfo_grid",
    "noisy_sine",
    "noisy_square",
    "quantized",
    "smoothed_discrete",
    "smoothed_uniform",
    "sparse_gaussian",
    "strong",
    "student_t",
    "transformed",
    "waves",
]
