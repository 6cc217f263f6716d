"""Wrapped losses and encoders: DistributedDataParallel, FSDP2, and cached gradients."""

from __future__ import annotations

from typing import Any

import torch
from pairs.gather_cases import FSDP_ON_CPU, SHARES, C, Case, D, build, outcome, share, whole
from pairs.gather_faults import error_of
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from infomax import InfoMaxLoss, PriorMatchingLoss
from infomax.training import cached_backward


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4 * C, D), nn.Linear(4 * C, D)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(images.flatten(1)), self.second(images.flatten(1)).tanh()


def large_batch(rank: int) -> dict[str, Any]:
    """Run `cached_backward` with a wrapped encoder and gathered negatives, and count the exchanges of gradients."""
    images = torch.randn(10, C, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    images = images[(0, 4, 7)[rank] : (4, 7, 10)[rank]]  # two chunks on every rank, because FSDP2 needs equally many
    loss_fn = InfoMaxLoss(D, D, critic="bilinear", gather=True, dtype=torch.float64)
    found: dict[str, Any] = {}
    if FSDP_ON_CPU:
        torch.manual_seed(0)
        sharded_ = Views().double()
        fully_shard(sharded_, mesh=init_device_mesh("cpu", (len(SHARES),)))
        found["sharded loss"] = cached_backward(sharded_, loss_fn, images, chunk_size=2)
        found["sharded"] = [whole(parameter.grad) for parameter in sharded_.parameters()]
    for cached in (False, True):
        torch.manual_seed(0)
        encoder = nn.parallel.DistributedDataParallel(Views().double())
        travels: list[int] = []
        encoder.register_comm_hook(travels, lambda seen, bucket: (seen.append(1), allreduce_hook(None, bucket))[1])
        if cached:
            found["loss"] = cached_backward(encoder, loss_fn, images, chunk_size=2)
        else:
            loss = loss_fn(*encoder(images))
            loss.backward()
            found["expected loss"] = loss.detach()
        found["travels"] = len(travels)
        found["gradients" if cached else "expected"] = [parameter.grad.clone() for parameter in encoder.parameters()]
    return found


def sharded(rank: int, whole_batch_: dict[str, Tensor], case: Case, gather: bool | str) -> dict[str, Tensor]:
    """Run a case under FSDP2."""
    loss = build(case, gather=gather)
    # By default, the root keeps its full weights from a forward pass to the next backward pass.
    fully_shard(loss, mesh=init_device_mesh("cpu", (len(SHARES),)), reshard_after_forward=True)
    register_fsdp_forward_method(loss, "mutual_information")
    return outcome(loss, share(rank, whole_batch_), case, gather=gather)


def own_discriminator() -> dict[str, Any]:
    """Run the prior term with a user-defined discriminator under FSDP2: sharded with the term, or by itself first."""

    def build_prior() -> PriorMatchingLoss:
        torch.manual_seed(0)
        prior = PriorMatchingLoss(D)
        prior.discriminator = nn.Sequential(nn.Linear(D, 4), nn.Tanh(), nn.Linear(4, 1))
        return prior

    y = torch.randn(8, D, generator=torch.Generator().manual_seed(2))
    found: dict[str, Any] = {}
    mesh = init_device_mesh("cpu", (len(SHARES),))
    for name in ("plain", "as a part", "by itself"):
        prior = build_prior()
        if name == "by itself":
            fully_shard(prior.discriminator, mesh=mesh)
        if name != "plain":
            fully_shard(prior, mesh=mesh)

        def step(prior: nn.Module = prior) -> None:
            prior(y, generator=torch.Generator().manual_seed(3)).backward()

        found[name] = error_of(step)
        if name != "by itself":
            found[name] = [whole(parameter.grad) for parameter in prior.parameters()]
    return found
