"""What the controls of the page do (Gradio)."""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np

from emotalker.app.controls import AS_HEARD, AS_IN_TABLE, NO_PLOT, Controls
from emotalker.app.emotion_plot import emotion_plot
from emotalker.app.emotion_table import rows_of, track_of
from emotalker.app.examples import EXAMPLES, Example, write_inputs
from emotalker.app.guard import COOKIE
from emotalker.app.jobs import Jobs
from emotalker.app.storage import Storage
from emotalker.app.studio import Cancelled, MadeVideo, Studio, VideoRequest, sentence
from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.errors import EmoTalkerError
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.style import Style

#: Sides of videos, pixels.
SIZES = (256, 384, 512, 768, 1024, 1280)
#: Seeds that "New seed" draws are below this.
_SEEDS = 1_000_000
#: Short calls that may wait besides the videos.
_SHORT_CALLS = 50
#: States of "Make" and "Cancel" while no video is made.
_BUTTONS_READY = (gr.update(interactive=True), gr.update(interactive=False))


@dataclass(frozen=True)
class HeardVoice:
    """What a session knows of its recording.

    Attributes:
        samples: ``(N,)`` at 16 kHz.
        track: emotion heard.
    """

    samples: np.ndarray
    track: EmotionTrack

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def __deepcopy__(self, memo: dict) -> HeardVoice:
        return self  # never changed; Gradio copies states


class Page:
    """The controls and their handlers.

    Args:
        studio: does the work.
        storage: holds the files.
        waiting: videos that may wait; a further visitor is asked to come back.
        largest: of SIZES that is offered, pixels.
    """

    def __init__(self, studio: Studio, storage: Storage, waiting: int, largest: int):
        self.studio, self.storage, self.jobs = studio, storage, Jobs(waiting)
        self.portrait_example, self.voice_example = write_inputs(storage.examples)
        sizes = [size for size in SIZES if size <= largest] or [largest]
        self.blocks = gr.Blocks(title="EmoTalker", analytics_enabled=False, fill_width=False)
        with self.blocks:
            self._connect(Controls(studio.max_seconds, storage.keep_seconds, sizes))
        # The queue also holds what takes no time: hearing, drawing, cancelling.
        self.blocks.queue(max_size=waiting + _SHORT_CALLS, default_concurrency_limit=4, api_open=False)

    def _connect(self, on: Controls) -> None:
        private = {"api_visibility": "private", "show_progress": "hidden"}
        latest = {**private, "trigger_mode": "always_last"}
        drawn = {"fn": self.draw, "inputs": [on.heard, on.emotion, on.table], "outputs": on.plot, **latest}
        # One event whose last occurrence is never left out, so that the plot is that of the last recording.
        gr.on(
            [on.voice.input, on.voice.clear], self.hear, on.voice, [on.heard, on.table, on.plot, on.emotion],
            trigger_mode="always_last", api_visibility="private", show_progress_on=[on.plot],
        )  # fmt: skip
        on.emotion.input(**drawn)
        on.table.input(lambda: AS_IN_TABLE, None, on.emotion, **latest).then(**drawn)
        on.own_blinks.input(lambda own: gr.update(interactive=not own), on.own_blinks, on.blinks, **private)
        on.new_seed.click(lambda: secrets.randbelow(_SEEDS), None, on.seed, **private)
        shown = [on.portrait, on.voice, on.emotion, on.intensity, on.framing, on.heard, on.table, on.plot]
        for button, example in zip(on.examples, EXAMPLES, strict=True):
            button.click(self._loader(example), None, shown, api_visibility="private", show_progress_on=[on.plot])
        started = on.make.click(self._start, None, [on.make, on.cancel, on.status], **private)
        made = started.success(
            self.run,
            [on.portrait, on.voice, on.heard, on.table, on.emotion, on.intensity, on.expression, on.head,
             on.lips, on.own_blinks, on.blinks, on.framing, on.size, on.seed],
            [on.video, on.files, on.plot, on.status, on.made, on.add_head],
            concurrency_limit=1, concurrency_id="video", api_visibility="private", show_progress_on=[on.video],
        )  # fmt: skip
        for ended in (made.success, made.failure):  # Gradio's .then does not follow a failure here
            ended(lambda: _BUTTONS_READY, None, [on.make, on.cancel], **private)
        on.cancel.click(self.stop, None, [on.make, on.cancel, on.status], cancels=[made], **private)
        on.add_head.click(
            self.with_head, on.made, [on.files, on.add_head], concurrency_id="video", api_visibility="private",
            show_progress_on=[on.files],
        )  # fmt: skip
        self.blocks.unload(self.leave)

    def hear(self, voice: str | None) -> tuple[Any, ...]:
        """After a recording was given or removed: its emotion, in the table and over the waveform."""
        if voice is None:
            return None, gr.skip(), NO_PLOT, AS_HEARD
        try:
            heard = HeardVoice(*self.studio.hear(Path(voice)))
        except EmoTalkerError as error:  # a message, not an exception, so that the last recording's emotion goes
            gr.Warning(html.escape(sentence(error, voice), quote=False), duration=15, title="This cannot be used")
            return None, gr.skip(), NO_PLOT, AS_HEARD
        return heard, rows_of(heard.track, heard.seconds), _heard_plot(heard), AS_HEARD

    def draw(self, heard: HeardVoice | None, emotion: str, table: Sequence[Sequence[Any]]) -> str:
        """The plot of the emotion that the face will have."""
        if heard is None:
            return NO_PLOT
        track = _said(lambda: requested(emotion, table, heard)).requested
        return _heard_plot(heard) if track is None else emotion_plot(heard.samples, track, "Emotion chosen for the face")

    def _loader(self, example: Example) -> Callable[[], tuple[Any, ...]]:
        """The handler of an example's button."""

        def load() -> tuple[Any, ...]:
            heard = HeardVoice(*self.studio.hear(self.voice_example))
            rows, emotion = rows_of(heard.track, heard.seconds), example.emotion or AS_HEARD
            if example.track is not None:
                rows, emotion = rows_of(example.track, heard.seconds), AS_IN_TABLE
            values = (str(self.portrait_example), str(self.voice_example), emotion, example.intensity, example.framing)
            return *values, heard, rows, self.draw(heard, emotion, rows)

        return load

    def _start(self, request: gr.Request) -> tuple[Any, ...]:
        if not self.jobs.begin(request.session_hash):
            raise _refusal("too many videos are waiting; come back in some minutes")
        return gr.update(interactive=False), gr.update(interactive=True), ""

    def run(
        self, portrait: str | None, voice: str | None, heard: HeardVoice | None, table: Sequence[Sequence[Any]], emotion: str,
        intensity: float, expression: float, head: float, lips: float, own_blinks: bool, blinks: float,
        framing: Literal["crop", "full"], size: int, seed: int | None,
        request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008 (as Gradio wants it)
    ) -> tuple[Any, ...]:  # fmt: skip
        """Make the video; errors that the visitor can mend are shown as their sentence."""
        amplitudes = {"intensity": intensity, "expression": expression, "head": head, "lips": lips}

        def make() -> Any:
            style = requested(emotion, table, heard, blinks=None if own_blinks else blinks, **amplitudes)
            wanted = VideoRequest(Path(portrait), Path(voice), style, framing, size, seed or 0)
            folder = self.storage.new_folder(request.cookies[COOKIE])
            return self.studio.make(wanted, folder, lambda what, share: progress(share, desc=what), cancelled)

        try:
            with self.jobs.running(request.session_hash) as cancelled:
                if portrait is None or voice is None:
                    raise _refusal(f"give {'a portrait' if portrait is None else 'a voice'} first, or choose an example")
                made = _said(make, portrait, voice)
        except Cancelled:
            return *[gr.skip()] * 3, "Cancelled.", gr.skip(), gr.skip()
        plot = emotion_plot(made.talking.audio, made.talking.emotion, "Emotion in the video")
        files = gr.update(value=[str(path) for path in made.files], visible=True)
        return str(made.files[0]), files, plot, f"Done: {made.summary}.", made, gr.update(visible=True)

    def with_head(self, made: MadeVideo | None, request: gr.Request) -> tuple[Any, ...]:
        """Add the animated head to the downloads of the session's last video."""
        if made is None or not all(path.exists() for path in made.files):
            raise _refusal("the video was deleted after its time; make it again")
        head = _said(lambda: made.write_head(self.storage.new_folder(request.cookies[COOKIE])))
        return [str(path) for path in (*made.files, head)], gr.update(visible=False)

    def stop(self, request: gr.Request) -> tuple[Any, ...]:
        """The button "Cancel": of a video that waits, or after its present frame."""
        self.jobs.cancel(request.session_hash)
        return *_BUTTONS_READY, "Cancelled."

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.jobs.cancel(request.session_hash)


def requested(emotion: str, table: Sequence[Sequence[Any]], heard: HeardVoice | None, **amplitudes: Any) -> Style:
    """The style of the page's controls; EmotionTrackError if the table is used and a row is wrong."""
    if emotion == AS_HEARD:
        return Style(**amplitudes)
    if emotion == AS_IN_TABLE:
        return Style(emotion_track=track_of(table, heard.track if heard else None), **amplitudes)
    return Style(emotion={emotion: 1.0}, **amplitudes)


def _heard_plot(heard: HeardVoice) -> str:
    return emotion_plot(heard.samples, heard.track, "Emotion heard in the voice")


def _said(work: Callable[[], Any], *files: str) -> Any:
    """The result of the work; an error that the visitor can mend becomes Gradio's message."""
    try:
        return work()
    except EmoTalkerError as error:
        raise _refusal(sentence(error, *files)) from error


def _refusal(text: str) -> gr.Error:
    """A message to the visitor; Gradio would take its text for HTML."""
    return gr.Error(html.escape(text, quote=False), duration=15, print_exception=False)
