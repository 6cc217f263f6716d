"""The mathematics: pure functions of scores, a loss and an estimate in nats for each estimator."""

from infomax.functional.activation import activation_penalty
from infomax.functional.dv import dv_estimate, dv_loss, smile_estimate
from infomax.functional.fdivergence import fdivergence_estimate, fdivergence_loss, nwj_estimate, nwj_loss
from infomax.functional.flo import flo_estimate, flo_loss
from infomax.functional.infonce import infonce_estimate, infonce_loss
from infomax.functional.jsd import jsd_loss
from infomax.functional.mine import mine_loss
from infomax.functional.regularisation import mean_square
from infomax.functional.tuba import alpha_tuba_estimate, alpha_tuba_loss, tuba_estimate, tuba_loss
from infomax.functional.upper import club_estimate, leave_one_out_estimate, likelihood_loss
from infomax.functional.wasserstein import wasserstein_dependency, wasserstein_loss
from infomax.scores import dense_scores, dot_scores

__all__ = [
    "activation_penalty",
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
    "mean_square",
    "mine_loss",
    "nwj_estimate",
    "nwj_loss",
    "smile_estimate",
    "tuba_estimate",
    "tuba_loss",
    "wasserstein_dependency",
    "wasserstein_loss",
]
