"""Prompts to tokens, behind one interface: a small encoder of our own, or CLIP's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ausynth.generators.maugen.blocks import Attention, mlp

__all__ = ["CLIPText", "SmallText", "TextEncoder"]

_WORD = re.compile(r"[a-z]+|\d+")


class TextEncoder(Protocol):
    """What reads prompts. An empty prompt is what classifier-free guidance compares with."""

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return B texts as whole numbers, on the CPU; what is too long is cut."""
        ...

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, L, D) tokens and one (B, D) embedding of each text."""
        ...


class SmallText(nn.Module):
    """A few Transformer layers over hashed words: no vocabulary to keep, and any word means something.

    Each word is the sum of two rows of one table, chosen by two hashes: two words share both by an accident of one in
    millions, where one hash into as many rows would confuse a few pairs of the AU descriptions' words (Svenstrup et
    al., "Hash embeddings for efficient word representations", 2017).

    Args:
        width: D.
        length: L, words of a prompt; all prompts have L tokens, since padding is a token like others.
        layers: of self-attention.
        buckets: rows of the table.
        heads: of attention.
        condensed: to how many tokens a text is condensed, which then are the L that are returned: so many learned
            queries read the words (as in Jaegle et al., "Perceiver IO", 2022). None returns each word's own.
    """

    def __init__(
        self, width: int, length: int, layers: int, buckets: int, heads: int = 4, *, condensed: int | None = None
    ) -> None:
        super().__init__()
        self.length, self.buckets = length, buckets
        self.words = nn.Embedding(buckets, width)
        nn.init.normal_(self.words.weight, std=0.7)
        self.places = nn.Parameter(torch.randn(length, width) * 0.1)
        self.padding = nn.Parameter(torch.randn(width) * 0.1)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * layers)])
        self.attentions = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.forwards = nn.ModuleList([mlp(width, 2 * width, width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.questions, self.reading = None, None
        if condensed is not None:
            self.questions = nn.Parameter(torch.randn(condensed, width) * 0.5)
            self.reading = Attention(width, heads)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return (B, L, 2) int64, -1 where a text has ended."""
        tokens_BL2 = torch.full((len(texts), self.length, 2), -1, dtype=torch.int64)
        for row, text in enumerate(texts):
            words = _WORD.findall(text.lower())[: self.length]
            if words:
                tokens_BL2[row, : len(words)] = torch.tensor([_hashes(word) for word in words]) % self.buckets
        return tokens_BL2

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, L, D) tokens, and (B, D): the mean over the text's words (over all places, if it has none)."""
        there_BL1 = tokens[..., :1] >= 0
        words_BLD = torch.where(there_BL1, self.words(tokens.clamp_min(0)).sum(-2), self.padding) + self.places
        for number, (attention, forward) in enumerate(zip(self.attentions, self.forwards, strict=True)):
            words_BLD = words_BLD + attention(self.norms[2 * number](words_BLD))
            words_BLD = words_BLD + forward(self.norms[2 * number + 1](words_BLD))
        words_BLD = self.norm(words_BLD)
        weight_BL1 = (there_BL1 | ~there_BL1.any(1, keepdim=True)).to(words_BLD.dtype)
        mean_BD = (words_BLD * weight_BL1).sum(1) / weight_BL1.sum(1)
        if self.questions is None or self.reading is None:
            return words_BLD, mean_BD
        return self.reading(self.questions.expand(len(words_BLD), -1, -1), words_BLD), mean_BD


class CLIPText:
    """The frozen text encoder of a Stable Diffusion directory.

    Args:
        model: a CLIPTextModel of transformers.
        tokenizer: its CLIPTokenizer.
        length: tokens of a prompt.
    """

    def __init__(self, model: Any, tokenizer: Any, length: int) -> None:
        self.model, self.tokenizer, self.length = model.requires_grad_(False).eval(), tokenizer, length

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return (B, L) int64."""
        tokens: Tensor = self.tokenizer(
            list(texts), padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
        ).input_ids
        return tokens

    @torch.no_grad()
    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden state (B, L, D), and that of the last token (B, D)."""
        out = self.model(tokens.to(self.model.device))
        return out.last_hidden_state.float(), out.pooler_output.float()


@lru_cache(maxsize=65536)
def _hashes(word: str) -> tuple[int, int]:
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
