"""Adaptive weights of losses by the norms of their gradients (eq. 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Adaptive", "adaptive_weights", "gradient_norms"]

Adaptive = Literal["paper", "inverse", "none"]


def gradient_norms(losses: Mapping[str, Tensor], weight: nn.Parameter) -> dict[str, Tensor]:
    """Return |dL_i / dw| of each loss at one weight; 0 where a loss does not depend on it. Costs a backward each."""
    norms = {}
    for name, loss in losses.items():
        if not loss.requires_grad:
            norms[name] = torch.zeros((), device=weight.device)
            continue
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True, allow_unused=True)
        norms[name] = torch.zeros((), device=weight.device) if gradient is None else gradient.float().norm()
    return norms


def adaptive_weights(norms: Mapping[str, float], kind: Adaptive, *, delta: float = 1e-6) -> dict[str, float]:
    """Return lambda_i of each loss, eq. 11.

    >>> adaptive_weights({"a": 3.0, "b": 1.0}, "paper", delta=0)
    {'a': 0.75, 'b': 0.25}
    >>> adaptive_weights({"a": 3.0, "b": 1.0}, "inverse", delta=0)
    {'a': 0.25, 'b': 0.75}

    Args:
        norms: of the losses' gradients.
        kind: "paper" weighs by |g_i| / (sum_j |g_j| + delta), as printed: the largest gradient weighs most. [C]
            "inverse" weighs by 1 / |g_i| in place of |g_i|, so that all pull equally hard. "none" is 1 each.
        delta: keeps the division finite.
    """
    if kind == "none":
        return dict.fromkeys(norms, 1.0)
    # A loss without a gradient here has nothing to be weighed by: its inverse would drown all others.
    size = {name: norm if kind == "paper" or not norm else 1 / (norm + delta) for name, norm in norms.items()}
    total = sum(size.values()) + delta
    return {name: value / total for name, value in size.items()}
