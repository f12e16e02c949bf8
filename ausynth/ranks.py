"""This process's place among those that train together."""

from __future__ import annotations

import os

import torch

from ausynth.errors import ConfigurationError

__all__ = ["place_among_ranks"]


def place_among_ranks(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Return (rank, world size): as given, else from torch.distributed, else from RANK and WORLD_SIZE, else (0, 1).

    Raises:
        ConfigurationError: one of the two without the other, or a rank that is not in the world.
    """
    if (rank is None) != (world_size is None):
        raise ConfigurationError(f"rank={rank}, world_size={world_size}", expected="both or neither")
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise ConfigurationError(f"rank {rank} of {world_size}", expected="0 <= rank < world_size")
    return rank, world_size
