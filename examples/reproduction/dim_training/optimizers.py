"""The optimizers of a run: AdamW, or Muon for most matrices and kernels with AdamW for the rest."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from .errors import BadInput
from .options import Options

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al. (2024): odd polynomial that takes (0, 1] to about 1 in five steps
LENGTH = 0.8  # root mean square of an update at rate 1; the best of 0.2 (about AdamW's), 0.4 and 0.8 in short runs
SHORTER_SIDE = range(64, 513)  # for Muon: kernels on pixels and heads are smaller, and larger matrices cost too much


def build(model: nn.Module, options: Options, device: torch.device) -> "Optimizer | Together":
    """Build the optimizer that ``--optimizer`` names. Weight decay is for matrices and kernels only."""
    parameters = list(model.parameters())
    muon = [p for p in parameters if options.optimizer == "muon" and _suits_muon(p)]
    if options.optimizer == "muon" and not muon:
        raise BadInput(
            f"--optimizer muon: expected a matrix or kernel whose shorter side has {SHORTER_SIDE[0]} to "
            f"{SHORTER_SIDE[-1]} entries; this model has none: use --optimizer adamw"
        )
    held = set(map(id, muon))
    rest = [p for p in parameters if id(p) not in held]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    adamw = AdamW(groups, options.lr, betas=(0.9, options.beta2), fused=fused)
    if not muon:
        return adamw
    return Together([adamw, Muon(muon, options.lr, weight_decay=options.weight_decay, bf16=options.bf16)])


def _suits_muon(p: Tensor) -> bool:
    return p.ndim > 1 and min(len(p), p[0].numel()) in SHORTER_SIDE


class Muon(Optimizer):
    """Muon, whose updates have nearly equal singular values: about U V^T of the momentum U S V^T (Jordan et al., 2024).

    A kernel is treated as a matrix with one row per output channel. This class replaces `torch.optim.Muon`, which takes
    no kernels and always computes in bfloat16, which is slow on many CPUs.

    Args:
        parameters: tensors with at least two dimensions.
        lr: learning rate. The entries of an update have a root mean square of about ``LENGTH * lr`` (the scaling of Liu
            et al., 2025, arXiv 2502.16982).
        momentum: decay of the averaged gradient, which enters in Nesterov's form.
        weight_decay: decoupled, as in AdamW.
        bf16: compute the update in bfloat16, which changes it by about 1 %; the momentum keeps its dtype.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        bf16: bool = False,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.bf16 = bf16

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: a run needs none
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                average = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(average, group["momentum"]).flatten(1)
                update = orthogonal(ahead.bfloat16() if self.bf16 else ahead).to(p.dtype)
                update *= LENGTH * max(ahead.shape) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view(p.shape), alpha=group["lr"])


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T of a matrix U S V^T, by quintic Newton-Schulz steps; singular values are from 0.7 to 1.2."""
    a, b, c = QUINTIC
    x = matrix / (matrix.norm() + 1e-12)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Together:
    """Several optimizers of one model, with the methods of one optimizer."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all optimizers."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Take one step of each optimizer."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all optimizers, by position."""
        return {str(place): optimizer.state_dict() for place, optimizer in enumerate(self.optimizers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the states that `state_dict` returned."""
        for place, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(state[str(place)])
