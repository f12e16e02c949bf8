"""Where a worker stands: what it would take to go on from there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """Where one worker stands in one iteration.

    Attributes:
        epoch: which iteration.
        base: the sample that it began with, on rank 0.
        lane, lanes: which worker of how many.
        number: the batch of this rank, counted from `base`, that comes next.
        row: how many of its samples were yielded, in single-sample mode.
    """

    epoch: int
    base: int
    lane: int
    lanes: int
    number: int
    row: int

    def after(self, row: int, size: int) -> Progress:
        """Return the progress once sample `row` of `size` was yielded."""
        ended = row + 1 == size
        number = self.number + self.lanes if ended else self.number
        return Progress(self.epoch, self.base, self.lane, self.lanes, number, 0 if ended else row + 1)
