"""Which label line a numbered frame belongs to: resolved from the numbers that are there, never guessed.

Frames of one video are numbered from 0 by some tools and from 1 by others. A mistake shifts every label by one frame
and still agrees with 98 % of DISFA's, so it goes unnoticed: where the files do not say, the user has to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import LayoutError

__all__ = ["match_lines", "match_numbers"]


def match_numbers(
    numbers: Sequence[int],
    lines: int,
    *,
    what: str,
    base: int | None = None,
    allow_missing: bool = False,
    excused: Collection[int] = (),
    asks: bool = True,
) -> NDArray[np.int64]:
    """Return which label line, from 0, each number belongs to; -1 for those that have none (`allow_missing`).

    Of n lines, numbers from 0 never reach n and numbers from 1 never hold 0. So a 0 without an n says that they start
    at 0, an n without a 0 that they start at 1, and anything else says nothing.

    >>> match_numbers([0, 1, 2], 3, what="SN001").tolist(), match_numbers([1, 2, 3], 3, what="SN001").tolist()
    ([0, 1, 2], [0, 1, 2])
    >>> match_numbers([0, 2], 3, what="SN001", allow_missing=True).tolist()
    [0, 2]

    Args:
        numbers: ascending, at least one.
        lines: n, the number of label lines.
        what: whose frames these are, for messages.
        base: the first number as the user states it, 0 or 1; it must not contradict what the numbers show.
        allow_missing: whether lines without a frame and frames without a line may be.
        excused: lines that need no frame.
        asks: whether the user can state the base (`frame_base`); messages say so.

    Raises:
        LayoutError: the base cannot be told or contradicts `base`, or frames and lines are not equally many.
    """
    low, high, count = numbers[0], numbers[-1], len(numbers)
    found = f"{what}: {count:,} numbered {low} to {high} for {lines:,} label lines"
    complete = f"{lines:,}, numbered 0 to {lines - 1} or 1 to {lines}"
    zero, last = low == 0, lines in set(numbers)
    shown = None if zero == last or high > lines else 0 if zero else 1
    if base is not None and (base != shown if shown is not None else base == 1 and zero):
        raise LayoutError(
            f"{found}: they are numbered from {0 if shown is None else shown}, and frame_base={base} was given",
            expected="a frame_base that the files do not contradict",
            do="leave frame_base away, or remove the file that is no frame",
        )
    known = shown if base is None else base
    if known is None:
        state = (
            "pass frame_base=0 or frame_base=1 when you know how they were made, and allow_missing=True as some lack"
        )
        raise LayoutError(
            f"{found}: whether they start at 0 or at 1 cannot be told",
            expected=complete,
            do=(state if asks else "restore the missing files") + " (a shift by one agrees with 98 % of the labels, so "
            "no check of the labels would find it)",
        )
    rows_N = np.asarray(numbers, dtype=np.int64) - known
    rows_N[rows_N >= lines] = -1
    without_frame = sorted(set(range(lines)) - set(rows_N.tolist()) - set(excused))
    surplus = int((rows_N < 0).sum())
    if (without_frame or surplus) and not allow_missing:
        first = f", line {without_frame[0] + 1} the first" if without_frame else ""
        raise LayoutError(
            f"{found}, starting at {known}: {len(without_frame):,} lines have no file{first}; "
            f"{surplus:,} files have no line",
            expected=complete,
            do="restore what is missing, or pass allow_missing=True to use what both have",
        )
    return rows_N


def match_lines(frames: int, lines: int, *, what: str, allow_missing: bool = False) -> NDArray[np.int64]:
    """Return the label lines, from 0, of the frames of a video: frame k has line k.

    Raises:
        LayoutError: frames and lines are not equally many, and `allow_missing` is not set.
    """
    if frames != lines and not allow_missing:
        raise LayoutError(
            f"{what}: {frames:,} frames for {lines:,} label lines",
            expected="equally many",
            do="restore the video and the label files from your copy; if both are as published, pass "
            "allow_missing=True to use the frames that have a line, counted from the first",
        )
    return np.arange(min(frames, lines), dtype=np.int64)
