"""Attention and feed-forward blocks that the label decoder and the text encoder are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "mlp"]


class Attention(nn.Module):
    """Multi-head attention of Q queries over K tokens, both of one width; without a context, over themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, queries_BQD: Tensor, context_BKD: Tensor | None = None) -> Tensor:
        """Return (B, Q, D)."""
        context_BKD = queries_BQD if context_BKD is None else context_BKD
        key_BKD, value_BKD = self.to_kv(context_BKD).chunk(2, dim=-1)
        mixed_BHQE = F.scaled_dot_product_attention(
            self._split(self.to_q(queries_BQD)), self._split(key_BKD), self._split(value_BKD)
        )
        out: Tensor = self.to_out(mixed_BHQE.transpose(1, 2).flatten(2))
        return out

    def _split(self, tokens_BND: Tensor) -> Tensor:
        count, tokens, width = tokens_BND.shape
        return tokens_BND.view(count, tokens, self.heads, width // self.heads).transpose(1, 2)


def mlp(width: int, hidden: int, out: int, *, zero: bool = False) -> nn.Sequential:
    """Return a perceptron with one hidden layer; with `zero`, one that answers 0 before it is trained."""
    last = nn.Linear(hidden, out)
    if zero:
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), last)
