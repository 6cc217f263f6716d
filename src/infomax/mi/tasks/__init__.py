"""Tasks whose mutual information is known, to try estimators on."""

from infomax.mi.tasks.additive import additive_noise
from infomax.mi.tasks.catalogue import beyond_normal, more_tasks
from infomax.mi.tasks.gaussian import dense_gaussian, gaussian, gaussian_nats, independent, sparse_gaussian
from infomax.mi.tasks.mixture import four_clouds, gaussian_mixture
from infomax.mi.tasks.student import student_t
from infomax.mi.tasks.task import Task, transformed

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
