"""Progress bars of the scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar() -> Progress:
    """A bar with the task's name, percentage and remaining time."""
    return Progress(
        TextColumn("{task.description:<18}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn()
    )


@contextmanager
def saving_progress(frames: int) -> Iterator[Callable[[int, int], None]]:
    """A bar for :meth:`emotalker.inference.pipeline.TalkingVideo.save`: yields the callback ``on_frame``."""
    with progress_bar() as progress:
        task = progress.add_task("rendering", total=frames)
        yield lambda done, _: progress.update(task, completed=done)
