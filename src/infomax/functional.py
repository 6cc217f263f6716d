"""Pure functions of scores: the loss of each estimator and, where one exists, its estimate in nats."""

from infomax.estimators.donsker_varadhan import dv_estimate, dv_loss
from infomax.estimators.fdivergence import fdivergence_estimate, fdivergence_loss
from infomax.estimators.flo import flo_estimate, flo_loss
from infomax.estimators.infonce import infonce_estimate, infonce_loss, plug_in_estimate
from infomax.estimators.jensen_shannon import jsd_loss, logistic_loss
from infomax.estimators.mine import mine_loss
from infomax.estimators.nwj import nwj_estimate, nwj_loss
from infomax.estimators.regularised import mean_square
from infomax.estimators.smile import smile_estimate
from infomax.estimators.tuba import alpha_tuba_estimate, alpha_tuba_loss, tuba_estimate, tuba_loss
from infomax.estimators.upper import club_estimate, leave_one_out_estimate, likelihood_loss
from infomax.estimators.wasserstein import wasserstein_dependency, wasserstein_loss
from infomax.scores import dense_scores, dot_scores, paired_scores

__all__ = [
    "alpha_tuba_estimate",
    "alpha_tuba_loss",
    "club_estimate",
    "dense_scores",
    "dot_scores",
    "dv_estimate",
    "dv_loss",
    "fdivergence_estimate",
    "fdivergence_loss",
    "flo_estimate",
    "flo_loss",
    "infonce_estimate",
    "infonce_loss",
    "jsd_loss",
    "leave_one_out_estimate",
    "likelihood_loss",
    "logistic_loss",
    "mean_square",
    "mine_loss",
    "nwj_estimate",
    "nwj_loss",
    "paired_scores",
    "plug_in_estimate",
    "smile_estimate",
    "tuba_estimate",
    "tuba_loss",
    "wasserstein_dependency",
    "wasserstein_loss",
]
