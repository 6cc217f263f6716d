"""The findings of the fuzz targets as short calls: each now ends in an error of the library, or in the right value."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infomax import (
    MINE,
    TUBA,
    BilinearCritic,
    CoordinateLoss,
    CosineCritic,
    DIMLoss,
    FDivergence,
    GlobalDIMLoss,
    InfoMaxLoss,
    LocalDIMLoss,
    PriorMatchingLoss,
    ScoreRegularised,
    estimate_mi,
    occlude,
    ops,
    tap,
)
from infomax import functional as F
from infomax.critics import LipschitzCritic
from infomax.encoders import Conv, ConvEncoder, StridedCrops
from infomax.evaluation import (
    MLPProbe,
    Standardise,
    extract_features,
    knn_probe,
    ms_ssim,
    neural_dependency,
    shuffled_units,
    svm_probe,
)
from infomax.features import taps
from infomax.pairs import ahead
from infomax.pairs.rows import has_location
from infomax.scores import ClippedScores
from infomax.training import FeatureQueue, cached_backward
from infomax.variants import gradient_penalty

HUGE = 10**20
X, Y = torch.zeros(4, 3), torch.zeros(4, 2)
IMAGES = torch.zeros(2, 3, 4, 4)
LEARNT = torch.ones(4, 3, requires_grad=True)
LABELS = torch.tensor([0, 1, 0, 1])
FLOAT8 = X.to(torch.float8_e4m3fn)


def loss_fn(**options: Any) -> LocalDIMLoss:
    return LocalDIMLoss(3, 2, critic="bilinear", **options)


def in_inference_mode(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


def conv_encoder(**options: Any) -> ConvEncoder:
    return ConvEncoder(**{"local": [Conv(2)], "fc": (2,), "input_size": 4, **options})


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    # Options: integers too large for torch, dtypes that no parameter can have, names of no device.
    (lambda: LocalDIMLoss(HUGE, 2), ValueError, "local_dim must be at most 2147483647 in magnitude, got 1000"),
    (lambda: LocalDIMLoss(3, 2, units=HUGE), ValueError, "units must be at most"),
    (lambda: LocalDIMLoss(3, 2, units=10**5000), ValueError, "units must be at most .*got an integer of 16610 bits"),
    (lambda: DIMLoss(3, HUGE, beta=0.0), ValueError, "global_dim must be at most"),
    (lambda: GlobalDIMLoss(3, 2, (HUGE,)), ValueError, "local_size must be at most"),
    (lambda: PriorMatchingLoss(2, hidden=(HUGE,)), ValueError, "hidden must be at most"),
    (lambda: CoordinateLoss(3, (HUGE, 2), 2), ValueError, "size must be at most"),
    (lambda: FeatureQueue(3, HUGE), ValueError, "size must be at most"),
    (lambda: conv_encoder(fc=(HUGE,)), ValueError, "fc must be at most"),
    (lambda: conv_encoder(local=[Conv(2, stride=HUGE)]), ValueError, "local: stride must be at most"),
    (lambda: DIMLoss(3, 2, beta=float("inf")), ValueError, "beta must be finite, got inf"),
    (lambda: DIMLoss(3, 2, beta=10**400), ValueError, "beta must be finite, got an integer of 1329 bits"),
    (lambda: loss_fn(dtype=torch.int64), TypeError, "dtype must be a real floating torch.dtype.*got torch.int64"),
    (lambda: loss_fn(dtype=torch.complex64), TypeError, "dtype must be a real floating torch.dtype.*torch.complex64"),
    (lambda: loss_fn(dtype=torch.float8_e5m2), TypeError, "dtype must be .*at least 16 bits.*float8_e5m2"),
    (lambda: loss_fn(device="gpu"), ValueError, "device must be a torch.device or the name of one, got 'gpu'"),
    (lambda: FeatureQueue(3, 4, dtype=torch.int64), TypeError, "dtype must be a real floating"),
    (lambda: FeatureQueue(3, 4, device="gpu"), ValueError, "device must be a torch.device or the name of one"),
    (lambda: CoordinateLoss(3, (2,), 2, device="gpu"), ValueError, "device must be a torch.device or the name of one"),
    (lambda: PriorMatchingLoss(2, hidden={3}), TypeError, "hidden must be a sequence of sizes.*got set"),
    (lambda: MLPProbe(3, 2, dropout=2.0), ValueError, "dropout must be a share from 0 to 1, got 2.0"),
    (lambda: estimate_mi(np.zeros(60), np.zeros(60), hidden=4), TypeError, "hidden must be a sequence.*got int"),
    (lambda: LocalDIMLoss(3, 2, critic=nn.Linear(3, 2)), TypeError, r"critic must take local rows and global rows"),
    # Tensors that cannot be features.
    (lambda: loss_fn()(FLOAT8, Y), TypeError, "local must have a floating dtype of at least 16 bits.*float8_e4m3fn"),
    (lambda: loss_fn()(X.to_sparse(), Y), TypeError, "local must be a dense tensor, got layout torch.sparse_coo"),
    (lambda: loss_fn()(X, Y.to_mkldnn()), TypeError, "global_ must be a dense tensor, got layout torch._mkldnn"),
    (lambda: F.dense_scores(torch.eye(4).to_sparse()), TypeError, "table must be a dense tensor"),
    (lambda: ops.pairwise_logsumexp(X.to_sparse(), X), TypeError, "query must be a dense tensor"),
    (lambda: knn_probe(FLOAT8, LABELS, X, LABELS), TypeError, "train_features must have a floating dtype of"),
    (lambda: loss_fn()(in_inference_mode(X), Y), ValueError, r"local must not come from .*pass local.clone\(\)"),
    (lambda: loss_fn()(X.to("meta"), Y.to("meta")), ValueError, "local must be on the device of the parameters, cpu"),
    (lambda: PriorMatchingLoss(2)(Y.to("meta")), ValueError, "y must be on the device of the parameters, cpu"),
    (lambda: FeatureQueue(3, 4).push(X.to("meta")), ValueError, "features must hold values.*meta"),
    (lambda: knn_probe(X.to("meta"), LABELS, X, LABELS), ValueError, "train_features must be a dense tensor.*meta"),
    (lambda: knn_probe(X, LABELS.to("meta"), X, LABELS), ValueError, "train_labels must be a dense tensor.*meta"),
    (lambda: extract_features(nn.ReLU(), torch.tensor(1.0), [""]), ValueError, "data must be a dense tensor.*0 axes"),
    (lambda: extract_features(nn.ReLU(), X.to("meta"), [""]), ValueError, "data must be a dense tensor.*meta"),
    (
        lambda: extract_features(nn.Linear(3, 2).to("meta"), X, [""]),
        ValueError,
        "layer '' must give values.*meta device",
    ),
    (lambda: extract_features(nn.Identity(), X.cfloat(), [""]), TypeError, "layer '' must give real values.*complex64"),
    (lambda: extract_features(nn.ReLU(), X, [""], transform=3), TypeError, "transform must be a function.*got int"),
    (lambda: InfoMaxLoss(3, 2)(X.double(), Y), TypeError, "x must have the dtype of the parameters"),
    (lambda: InfoMaxLoss(3, 2)(X, X), ValueError, "y must have 2 channels, the global_dim of this critic, got 3"),
    # Indices and masks.
    (
        lambda: loss_fn()(X, Y, group=LABELS.to(torch.uint16)),
        TypeError,
        "group must be a tensor of integers, got torch.ui",
    ),
    (lambda: loss_fn()(X, Y, group=LABELS.to_sparse()), TypeError, "group must be a dense tensor of integers"),
    (
        lambda: loss_fn()(X, Y, group=torch.nested.nested_tensor([LABELS[:2], LABELS[2:]], layout=torch.jagged)),
        TypeError,
        "group must be a dense tensor of integers, got a nested tensor",
    ),
    (lambda: loss_fn()(X, Y, (LABELS >= 0).to_sparse()), TypeError, "mask must be a dense tensor, got layout"),
    (
        lambda: ops.pairwise_logsumexp(X, X, in_inference_mode(LABELS), LABELS),
        ValueError,
        "query_group must not come from torch.inference_mode",
    ),
    (
        lambda: GlobalDIMLoss(3, 2, (2,))(X[:, :, None].expand(4, 3, 2), Y, negatives=2.5),
        TypeError,
        "negatives must be a torch.Tensor, got float",
    ),
    (
        lambda: GlobalDIMLoss(3, 2, (2,))(X[:, :, None].expand(4, 3, 2), Y, negatives=torch.zeros(2, 3, 5)),
        ValueError,
        r"negatives must be maps of the size of local \(4, 3, 2\), got \(2, 3, 5\)",
    ),
    (
        lambda: F.paired_scores(LEARNT[:, 0], in_inference_mode(X)),
        ValueError,
        r"marginal must not come from .*pass marginal.clone\(\)",
    ),
    (
        lambda: F.dense_scores(torch.zeros(4, 1, 4, 1, device="meta"), torch.ones(4, 1, dtype=torch.bool).to("meta")),
        ValueError,
        "mask must hold values, got a tensor on the meta device",
    ),
    (
        lambda: ClippedScores(F.dense_scores(X @ X.T), 1e-300, soft=True),
        ValueError,
        "clip must be positive, got 1e-300",
    ),
    (lambda: CosineCritic(3, 2, units=2, temperature=1e-45), ValueError, "temperature must be positive, got 1e-45"),
    (
        lambda: ops.pairwise_with_joint("logsumexp", X, X, None, None, LABELS.numpy(), None),
        ValueError,
        "joint_query and joint_key must be given together, got joint_query without joint_key",
    ),
    (lambda: ahead(X[:, None].to("meta"), X[:, None], steps=1), ValueError, "local must hold values.*meta device"),
    # Random draws and occlusion.
    (lambda: loss_fn()(X, Y, generator=3), TypeError, "generator must be a torch.Generator or None, got int"),
    (lambda: PriorMatchingLoss(2)(Y, generator="seed"), TypeError, "generator must be a torch.Generator.*got str"),
    (lambda: occlude(IMAGES, generator=3), TypeError, "generator must be a torch.Generator or None, got int"),
    (lambda: occlude(IMAGES.half(), fill=1e5), ValueError, "fill must fit into the dtype of the images, torch.float16"),
    (lambda: occlude(torch.zeros(2, 3, 0, 4)), ValueError, r"images must have at least one pixel .*\(2, 3, 0, 4\)"),
    # Variants, other functions, encoders and taps.
    (lambda: gradient_penalty(nn.Linear(3, 2), X, Y), TypeError, "critic must be an infomax.Critic, got Linear"),
    (lambda: gradient_penalty(BilinearCritic(3, 2), 2.5, Y), TypeError, "local must be a torch.Tensor, got float"),
    (lambda: F.mine_loss(F.dense_scores(torch.eye(4)), "1"), TypeError, "log_average must be a torch.Tensor, got str"),
    (lambda: F.mine_loss(F.dense_scores(torch.eye(4)), X), ValueError, r"log_average must be a scalar, got \(4, 3\)"),
    (
        lambda: MINE()(F.dense_scores(torch.zeros(4, 4, device="meta"))),
        ValueError,
        "scores and average must be on the same device, got scores on meta, average on cpu",
    ),
    (
        lambda: TUBA().eval()(F.dense_scores(torch.zeros(4, 4, device="meta"))),
        ValueError,
        "scores and log_baseline must be on the same device",
    ),
    (lambda: conv_encoder(local="conv"), TypeError, "local must be a sequence of Conv, got 'conv'"),
    (lambda: conv_encoder(local=[Conv(2, pool=(2,))]), ValueError, "local: pool must hold at least 2 sizes, got 1"),
    (lambda: conv_encoder(local=[Conv(0)]), ValueError, "local: channels must be at least 1, got 0"),
    (lambda: StridedCrops(3, 2), TypeError, "encoder must be a torch.nn.Module, got int"),
    (lambda: tap(None, local="0"), TypeError, "encoder must be a torch.nn.Module, got NoneType"),
    (lambda: tap(nn.ReLU(), local="", local_layout=3), TypeError, "local_layout must be a string.*got int"),
    (lambda: taps(nn.ReLU(), 3), TypeError, "layers must be names of layers, or a mapping to them, got int"),
    (lambda: taps(nn.ReLU(), [[]]), TypeError, "layers must hold names, got list"),
    (lambda: cached_backward(nn.Linear(3, 2), None, X), TypeError, "loss_fn must be a loss or a function of features"),
    (lambda: cached_backward(nn.Linear(3, 2), len, X, scaler=3), TypeError, "scaler must be a torch.amp.GradScaler"),
    (
        lambda: cached_backward(nn.Linear(3, 2), lambda y: y.sum(), in_inference_mode(X)),
        ValueError,
        "inputs must not come from torch.inference_mode",
    ),
    # Measures of a representation.
    (
        lambda: ms_ssim(torch.zeros(2, 1, 22, 22), torch.zeros(2, 1, 22, 22, device="meta")),
        ValueError,
        "images and reference must be on the same device",
    ),
    (lambda: ms_ssim(torch.zeros(2, 0, 22, 22), torch.zeros(2, 0, 22, 22)), ValueError, "none of them 0, got"),
    (lambda: Standardise(torch.zeros(0, 2)), ValueError, "features must hold at least one example, got none"),
    (lambda: shuffled_units([1.0]), TypeError, "features must be a torch.Tensor, got list"),
    (lambda: neural_dependency(X, X, hidden=3), TypeError, "hidden must be a sequence of sizes.*got int"),
    (
        lambda: svm_probe(torch.zeros(4, 0), LABELS, torch.zeros(4, 0), LABELS),
        ValueError,
        r"train_features must have shape \(N, D\) with D of at least 1, got \(4, 0\)",
    ),
    (lambda: DIMLoss(3, 2, gamma=0.1, prior=nn.Linear(2, 1)), TypeError, "prior must be called with .*got Linear"),
    # Objectives that would collapse or diverge.
    (
        lambda: loss_fn(estimator="rkl"),
        ValueError,
        "estimator 'rkl' diverges when it is trained.*ScoreRegularised.*FDivergence",
    ),
    (
        lambda: LocalDIMLoss(3, 2, estimator="club", critic="gaussian")(X, Y.clone().requires_grad_()),
        ValueError,
        r"global_ must have no gradient where the estimator is CLUB.*constant. Pass global_.detach\(\).*'infonce'",
    ),
    (
        lambda: InfoMaxLoss(3, 2, estimator="leave_one_out", critic="gaussian")(X, Y.clone().requires_grad_()),
        ValueError,
        "y must have no gradient where the estimator is LeaveOneOut",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_numpy_are_options_like_any_other() -> None:
    with ops.use_workspace(np.int64(2**16)):
        plain, numpy = (
            [
                LocalDIMLoss(kind(3), kind(2), units=kind(4), sample_locations=kind(1)),
                LipschitzCritic(kind(3), kind(2), units=kind(100), radius=real(0.5)),
                DIMLoss(3, 2, alpha=real(0.5), beta=real(1.0), gamma=real(0.0), local_size=(kind(2),)),
                ConvEncoder(local=[Conv(kind(2), kind(3))], fc=(kind(3),), input_size=kind(4), global_dim=kind(2)),
                ScoreRegularised(FDivergence("rkl"), weight=real(0.5), clip=real(2.0)),
                StridedCrops(nn.Flatten(), kind(4)),
            ]
            for kind, real in ((int, float), (np.int8, np.float32))
        )
    assert list(map(repr, plain)) == list(map(repr, numpy))
    images = torch.rand(2, 3, 4, 4)
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert torch.equal(
        occlude(images, 0.5, fill=0.5, generator=draws[0]),
        occlude(images, np.float16(0.5), fill=Fraction(1, 2), generator=draws[1]),
    )


def test_large_integers_are_numbers() -> None:
    assert float(occlude(IMAGES, fill=10**20).max()) == pytest.approx(1e20)
    assert DIMLoss(3, 2, beta=Fraction(1, 2), gamma=0.0, critic="bilinear")(X, Y).loss.isfinite()


def test_frozen_features_may_come_with_a_graph() -> None:
    features = torch.eye(4).requires_grad_()
    assert svm_probe(features, LABELS, features, LABELS, C=1.0) == 1.0
    assert not Standardise(features).mean.requires_grad


def test_features_of_inference_mode_are_measured_without_gradients() -> None:
    local, global_ = in_inference_mode(torch.randn(4, 3)), in_inference_mode(torch.randn(4, 2))
    loss = loss_fn()
    assert loss.mutual_information(local, global_).isfinite()
    with torch.no_grad():
        expected = loss(local.clone(), global_.clone())
        assert torch.equal(loss(local, global_), expected)
    assert F.infonce_loss(F.dot_scores(local, local)).isfinite()  # no gradient is needed here


def test_maps_without_channels_score_zero() -> None:
    assert torch.allclose(ops.pairwise_logsumexp(X[:, :0], torch.zeros(4, 0, 2)), torch.tensor(8.0).log())


def test_a_mask_of_no_example() -> None:
    """A process may hold no example if it uses the negatives of other processes."""
    assert has_location(torch.zeros(0, 2, 3, dtype=torch.bool)).shape == (0,)


def test_a_density_is_fitted_to_globals_without_a_gradient_and_locals_with_one() -> None:
    loss = LocalDIMLoss(3, 2, estimator="club", critic="gaussian", units=4)
    local, global_ = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    loss(local, global_.detach()).backward()
    assert local.grad is not None
    loss.estimator.estimate(loss.scores(local, global_)).backward()  # the estimate has both gradients
    assert global_.grad is not None
    with torch.no_grad():
        assert loss(local, global_).isfinite()
    regularised = LocalDIMLoss(3, 2, estimator=ScoreRegularised("club", clip=None), critic="gaussian", units=4)
    with pytest.raises(ValueError, match="global_ must have no gradient"):
        regularised(local, global_)
