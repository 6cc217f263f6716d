"""Bad input raises one clear error that names the argument, the expected value and the value received."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from infomax import FLO, MINE, BilinearCritic, DIMLoss, GlobalDIMLoss, InfoMaxLoss, LocalDIMLoss
from infomax import functional as F

LOSSES: dict[str, Any] = {
    "local": lambda: LocalDIMLoss(3, 4, units=8),
    "global": lambda: GlobalDIMLoss(3, 4, (2, 2), units=8),
    "dim": lambda: DIMLoss(3, 4, (2, 2), alpha=1.0, units=8),
}
GOOD = torch.zeros(4, 3, 2, 2), torch.zeros(4, 4)


class WithTorchsNorm(BilinearCritic):
    def __init__(self, local_dim: int, global_dim: int) -> None:
        super().__init__(local_dim, global_dim)
        self.norm = nn.BatchNorm1d(local_dim)


@pytest.mark.parametrize("call", ["forward", "mutual_information"])
@pytest.mark.parametrize(
    ("local", "global_", "mask", "error", "message"),
    [
        (torch.zeros(3), GOOD[1], None, ValueError, r"local must have shape \(N, channels, \*spatial\), got \(3,\)"),
        (
            GOOD[0],
            torch.zeros(4),
            None,
            ValueError,
            r"global_ must have shape \(N, channels, \*spatial\), got \(4,\).*features of an encoder, not labels",
        ),
        (GOOD[0], torch.zeros(3, 4), None, ValueError, "same examples, got batch sizes 4 .* and 3"),
        (GOOD[0][:1], GOOD[1][:1], None, ValueError, "at least 2 examples, got 1.*drop_last=True"),
        (torch.zeros(4, 7, 2, 2), GOOD[1], None, ValueError, r"local must have 3 channels.*7 from \(4, 7, 2, 2\)"),
        (torch.zeros(4, 2, 2, 3), GOOD[1], None, ValueError, r"from \(4, 2, 2, 3\); channels come second, permute it"),
        (
            GOOD[0],
            torch.zeros(4).long(),
            None,
            ValueError,
            r"global_ must have shape.*\(4,\) of torch.int64; pass the global features of an encoder, not labels",
        ),
        (
            GOOD[0].half(),
            GOOD[1],
            None,
            TypeError,
            r"local must have the dtype .*float32, got torch.float16.*loss_fn.to",
        ),
        (GOOD[0], GOOD[1].double(), None, TypeError, r"global_ must have .*float64.*\.float\(\).*float64\)$"),
        (GOOD[0], torch.zeros(4, 7), None, ValueError, "global_ must have 4 channels.*got 7"),
        (torch.zeros(4, 3, 0, 2), GOOD[1], None, ValueError, r"local must have at least one .*got \(4, 3, 0, 2\)"),
        (
            GOOD[0].long(),
            GOOD[1],
            None,
            TypeError,
            r"local must have a real floating dtype, got torch.int64.*float\(\)",
        ),
        (GOOD[0], GOOD[1].to(torch.complex64), None, TypeError, "global_ must have a real floating dtype.*complex64"),
        (GOOD[0], GOOD[1].to("meta"), None, ValueError, "local and global_ must be on the same device.*cpu.*meta"),
        (GOOD[0].numpy(), GOOD[1], None, TypeError, "local must be a torch.Tensor, got ndarray"),
        (*GOOD, torch.zeros(4, 2, 2, dtype=torch.bool), ValueError, "mask must leave real locations.*got 0 of 4"),
        (*GOOD, torch.ones(4, 2, dtype=torch.bool), ValueError, r"mask must have the shape \(4, 2, 2\).*got \(4, 2\)"),
        (
            *GOOD,
            torch.ones(4, 2, 2),
            TypeError,
            "mask must be a bool tensor, True at real locations, got torch.float32",
        ),
        (*GOOD, torch.ones(4, 2, 2, dtype=torch.bool, device="meta"), ValueError, "same device.*mask on meta"),
        (*GOOD, "mask", TypeError, "mask must be a bool tensor.*got str"),
    ],
)
def test_features(call: str, local: Any, global_: Any, mask: Any, error: type[Exception], message: str) -> None:
    """The whole objective makes no checks of its own; each of its terms checks the features."""
    module = LOSSES["dim"]()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(error, match=message):
        (module if call == "forward" else module.mutual_information)(local, global_, mask)
    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, state[name])]
    assert not changed, "refused, and yet something has changed"


class TestSwapped:
    """Locals and globals that are swapped can have the same width; then only the spatial axes reveal it."""

    def test_a_vector_beside_a_map_warns(self) -> None:
        torch.manual_seed(0)
        loss_fn, vector, maps = LocalDIMLoss(4, 4, units=8), torch.randn(3, 4), torch.randn(3, 4, 2, 2)
        said = r"local \(3, 4\) has one location .* global_ \(3, 4, 2, 2\) has several: are they swapped\?.*\(N, c, 1\)"
        with pytest.warns(UserWarning, match=said):
            swapped = loss_fn(vector, maps)
        assert torch.equal(loss_fn(vector[:, :, None], maps), swapped)  # without a warning, which would be an error

    def test_the_right_order_does_not(self) -> None:
        loss_fn, vector, maps = LocalDIMLoss(4, 4, units=8), torch.randn(3, 4), torch.randn(3, 4, 2, 2)
        loss_fn(maps, vector)
        loss_fn(vector, vector)
        loss_fn(maps, maps)
        loss_fn(vector, maps[:2], batch=torch.tensor([0, 1, 1]))

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    def test_compiled_it_is_one_graph(self) -> None:
        compiled = torch.compile(LocalDIMLoss(4, 4, units=8), fullgraph=True, backend="aot_eager")
        assert compiled(torch.randn(3, 4), torch.randn(3, 4, 2, 2)).isfinite()


def test_a_map_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"local must have the shape \(N, 3, 2, 2\) of local_dim and local_size, got"):
        LOSSES["global"]()(torch.zeros(4, 3, 3, 3), torch.zeros(4, 4))
    with pytest.raises(ValueError, match=r"got \(4, 2, 2, 3\); channels come second, permute it"):
        LOSSES["global"]()(torch.zeros(4, 2, 2, 3), torch.zeros(4, 4))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LocalDIMLoss(0, 4), ValueError, "local_dim must be at least 1, got 0"),
        (lambda: LocalDIMLoss(3, "4"), TypeError, "global_dim must be an integer, got str"),
        (lambda: LocalDIMLoss(3, 4, units=0), ValueError, "units must be at least 1, got 0"),
        (lambda: LocalDIMLoss(3, 4, estimator="mi"), ValueError, "estimator must be one of .*infonce.*, got 'mi'"),
        (lambda: LocalDIMLoss(3, 4, estimator=None), TypeError, "estimator must be a short name.*NoneType"),
        (lambda: LocalDIMLoss(3, 4, critic="mlp"), ValueError, "critic must be one of .*concat.*, got 'mlp'"),
        (lambda: LocalDIMLoss(3, 4, critic=lambda a, b: a), TypeError, "critic must be a short name.*returned int"),
        (lambda: LocalDIMLoss(3, 4, sample_locations=0), ValueError, "sample_locations must be at least 1, got 0"),
        (lambda: LocalDIMLoss(3, 4, sample_locations=0.5), TypeError, "sample_locations must be an integer, got float"),
        (lambda: LocalDIMLoss(3, 4, sample_negatives=-1), ValueError, "sample_negatives must be at least 1, got -1"),
        (lambda: LocalDIMLoss(3, 4, sample_negatives=2, gather=True), ValueError, "sample_negatives must be None with"),
        (lambda: LocalDIMLoss(3, 4, reduction="sum"), ValueError, "reduction must be one of mean, none, got 'sum'"),
        (lambda: LocalDIMLoss(3, 4, reduction="none", gather=True), ValueError, "reduction must be 'mean' with gather"),
        (
            lambda: LocalDIMLoss(3, 4, estimator=FLO()),
            TypeError,
            "estimator must read the scores of one critic, got FLO",
        ),
        (
            lambda: LocalDIMLoss(3, 4, estimator="wasserstein"),
            ValueError,
            "Lipschitz.*DotCritic with batch norm.*lipsch",
        ),
        (
            lambda: LocalDIMLoss(3, 4, critic=nn.Sequential(nn.BatchNorm1d(3))),
            ValueError,
            "critic must score each pair by itself, got BatchNorm1d at '0', .*over tiles of pairs; use a layer norm",
        ),
        (
            lambda: LocalDIMLoss(3, 4, critic=WithTorchsNorm(3, 4), gather=True),
            ValueError,
            "critic must not hold BatchNorm1d with gather=True.*infomax.critics.BatchNorm",
        ),
        (
            lambda: LocalDIMLoss(3, 4, critic=lambda a, b: a.sum()),
            TypeError,
            "critic was called as a factory, .*nn.Module",
        ),
        (lambda: LocalDIMLoss(3, 4, estimator=F.infonce_loss), TypeError, "estimator was called as a factory, without"),
        (
            lambda: LocalDIMLoss(3, 4, estimator="InfoNCE"),
            ValueError,
            "got 'InfoNCE'; did you mean 'infonce'",
        ),
        (
            lambda: GlobalDIMLoss(3, 4, 8),
            TypeError,
            r"local_size must be a sequence of sizes such as \(8, 8\), got int",
        ),
        (lambda: GlobalDIMLoss(3, 4, (2, 0)), ValueError, "local_size must be at least 1, got 0"),
        (lambda: GlobalDIMLoss(3, 4, (2, 2.0)), TypeError, "local_size must be an integer, got float"),
        (lambda: GlobalDIMLoss(3, 4, (1, 1, 1, 1)), ValueError, r"local_size must have at most 3 axes, got \(1, 1"),
        (lambda: GlobalDIMLoss(3, (2, 2), 4), TypeError, "local_size must be a sequence|global_dim must be an integer"),
        (lambda: DIMLoss(128, 64, 32), TypeError, "local_size must be a sequence of sizes.*got int"),
        (lambda: DIMLoss(3, global_dim=4, alpha=1.0), ValueError, "local_size must be given where alpha is not 0"),
        (lambda: DIMLoss(3, global_dim=4, gamma=-0.1), ValueError, "gamma must be at least 0, got -0.1"),
        (lambda: DIMLoss(3, global_dim=4, beta="1"), TypeError, "beta must be a number, got str"),
        (lambda: DIMLoss(3, global_dim=4, beta=float("nan")), ValueError, "beta must be finite, got nan"),
        (lambda: DIMLoss(3, global_dim=4, alpha=0, beta=0, gamma=0), ValueError, "must not all be 0"),
        (
            lambda: DIMLoss(3, 4, (2, 2), alpha=1.0, critic=nn.Linear(2, 2)),
            TypeError,
            r"critic must not be a module with state where two terms use it, got Linear.*partial\(Linear, \.\.\.\)",
        ),
        (
            lambda: DIMLoss(3, 4, (2, 2), alpha=1.0, estimator=MINE()),
            TypeError,
            r"estimator must not be a module with state where two terms use it, got MINE.*partial\(MINE, \.\.\.\)",
        ),
        (
            lambda: DIMLoss(3, global_dim=4, prior="gamma"),
            ValueError,
            "prior must be one of normal, uniform, got 'gamma'",
        ),
    ],
)
def test_options(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_an_empty_queue_says_so() -> None:
    loss_fn = InfoMaxLoss(4, 4, symmetric=False, in_batch=False)
    with pytest.raises(ValueError, match=r"negatives must hold at least one row, got \(0, 4\); push features"):
        loss_fn(torch.randn(3, 4), torch.randn(3, 4), negatives=torch.zeros(0, 4))


@pytest.mark.parametrize(("dtype", "offered"), [(torch.float64, False), (torch.bfloat16, True)])
def test_autocast_is_offered_only_where_it_casts(dtype: torch.dtype, offered: bool) -> None:
    with pytest.raises(TypeError, match="must have the dtype of the parameters") as caught:
        InfoMaxLoss(4, 4)(torch.randn(3, 4, dtype=dtype), torch.randn(3, 4, dtype=dtype))
    assert ("torch.autocast" in str(caught.value)) == offered


def test_more_negatives_than_examples() -> None:
    with pytest.raises(ValueError, match=r"sample_negatives must be between 1 and 3.*got 4"):
        LocalDIMLoss(3, 4, units=8, sample_negatives=4)(*GOOD)
