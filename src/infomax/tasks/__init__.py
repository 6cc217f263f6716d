"""Tasks whose mutual information is known, to try estimators on."""

from infomax.tasks.additive import additive_noise
from infomax.tasks.catalogue import beyond_normal, more_tasks
from infomax.tasks.gaussian import dense_gaussian, gaussian, gaussian_nats, independent, sparse_gaussian
from infomax.tasks.mixture import four_clouds, gaussian_mixture
from infomax.tasks.student import student_t
from infomax.tasks.task import Task, transformed

__all__ = [
    "Task",
    "additive_noise",
    "beyond_normal",
    "dense_gaussian",
    "four_clouds",
    "gaussian",
    "gaussian_mixture",
    "gaussian_nats",
    "independent",
    "more_tasks",
    "sparse_gaussian",
    "student_t",
    "transformed",
]
