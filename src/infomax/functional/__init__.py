"""The mathematics: pure functions of scores, a loss and an estimate in nats for each estimator."""

from infomax.functional.activation import activation_penalty
from infomax.functional.dv import dv_estimate, dv_loss, smile_estimate
from infomax.functional.fdivergence import fdivergence_estimate, fdivergence_loss, nwj_estimate, nwj_loss
from infomax.functional.infonce import infonce_estimate, infonce_loss
from infomax.functional.jsd import jsd_loss
from infomax.functional.mine import mine_loss
from infomax.scores import dense_scores, dot_scores

__all__ = [
    "activation_penalty",
    "dense_scores",
    "dot_scores",
    "dv_estimate",
    "dv_loss",
    "fdivergence_estimate",
    "fdivergence_loss",
    "infonce_estimate",
    "infonce_loss",
    "jsd_loss",
    "mine_loss",
    "nwj_estimate",
    "nwj_loss",
    "smile_estimate",
]
