"""The progress bar that everything long shows: done, in all, so many a second, time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text

__all__ = ["counting_bar"]


def counting_bar(unit: str, **options: Any) -> Progress:
    """Return a bar that counts `unit` ("frames"); `options` are those of `rich.progress.Progress`."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:,.0f} {unit}/s")

    description = TextColumn("{task.description}")
    return Progress(description, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(), **options)
