"""Detection of the first loss that is not finite, on the device, so that no step waits for the result."""

import torch
from torch import Tensor

from .objective import Step


class Watch:
    """A record of the first step in which the loss, a part of it or the encoder's output was not finite."""

    def __init__(self, device: torch.device) -> None:
        self.step = torch.full((), -1, device=device)
        self.bad: Tensor | None = None
        self.names: list[str] = []

    def see(self, step: int, result: Step) -> None:
        """Check the result of a step."""
        looked = {name: value.isfinite() for name, value in {"loss": result.loss.detach(), **result.parts}.items()}
        if result.features is not None:
            looked["encoder"] = torch.stack([part.isfinite().all() for part in result.features]).all()
        bad = ~torch.stack(list(looked.values()))
        first = bad.any() & (self.step < 0)
        self.names = list(looked)
        self.bad = bad if self.bad is None else torch.where(first, bad, self.bad)
        self.step = torch.where(first, step, self.step)

    def cause(self) -> str:
        """Return in words what was not finite, and what to do."""
        bad = [name for name, is_bad in zip(self.names, self.bad.tolist(), strict=True) if is_bad]
        if "encoder" in bad:
            return "the encoder's outputs are not finite, so the previous steps were too large: try a lower --lr"
        parts = [name for name in bad if name != "loss"]
        if parts:
            return f"not finite in the loss: {', '.join(parts)}: try another --estimator, or a lower --lr"
        return "try a lower --lr, or a longer --warmup"
