"""Progress: callbacks of the library, and the bars of the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

#: Called with a stage, the frames done of it, and their number or None if it is unknown. Stages of a video, in order:
#: "loading" (networks; commands only), "reading" (recording and picture), "portrait", "motion", with a video as picture
#: "faces", then "rendering". An exception raised by the callback ends the work and leaves no unfinished file;
#: :class:`~emotalker.core.errors.Cancelled` is made for that.
OnProgress = Callable[[str, int, int | None], None]


def unheard(stage: str, done: int, total: int | None) -> None:
    """The callback of those who did not give one."""


def progress_bar(quiet: bool = False) -> Progress:
    """A bar on stderr with the task's name, percentage and remaining time; invisible if quiet or not on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[OnProgress]:
    """A bar that shows the stage and its frames; yields the callback that moves it."""
    with progress_bar(quiet) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda stage, done, total: progress.update(task, description=stage, completed=done, total=total)
