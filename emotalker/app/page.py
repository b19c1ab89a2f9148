"""Layout of the page and what its controls do (Gradio)."""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np

from emotalker.app.emotion_plot import emotion_plot
from emotalker.app.emotion_table import COLUMNS, rows_of, track_of
from emotalker.app.examples import EXAMPLES, Example, write_inputs
from emotalker.app.guard import COOKIE
from emotalker.app.jobs import Jobs
from emotalker.app.storage import Storage
from emotalker.app.studio import Cancelled, MadeVideo, Studio, VideoRequest, sentence
from emotalker.audio.io import SAMPLE_RATE
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import EmoTalkerError
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.style import Style

AS_HEARD, AS_IN_TABLE = "of the voice", "of the table"
SIZES = (256, 384, 512, 768, 1024, 1280)
#: Seeds that "New seed" draws are below this; the largest that may be typed.
_SEEDS, _LARGEST_SEED = 1_000_000, 2**31 - 1
#: Short calls that may wait besides the videos.
_SHORT_CALLS = 50
#: States of "Make" and "Cancel" while no video is made.
_BUTTONS_READY = (gr.update(interactive=True), gr.update(interactive=False))
_NO_PLOT = '<div class="emotion-plot empty">The emotion of the voice appears here once there is a recording.</div>'
_INTRODUCTION = """# EmoTalker
A portrait speaks a recording, with the voice's emotion on the face."""
_CONSENT = """Use portraits and voices only of people who agreed to it, and say that the video is synthetic. \
What you upload and what is made of it can be read by you alone and is deleted after {keep}."""


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
        self.sizes = [size for size in SIZES if size <= largest] or [SIZES[0]]
        self.blocks = gr.Blocks(title="EmoTalker", analytics_enabled=False, fill_width=False)
        with self.blocks:
            self._lay_out()
        # The queue also holds what takes no time: hearing, drawing, cancelling.
        self.blocks.queue(max_size=waiting + _SHORT_CALLS, default_concurrency_limit=4, api_open=False)

    def _lay_out(self) -> None:
        gr.Markdown(_INTRODUCTION, elem_id="header")
        self.heard, self.made = (gr.State(None, time_to_live=self.storage.keep_seconds) for _ in range(2))
        with gr.Row(equal_height=False):
            with gr.Column(min_width=330):
                self._lay_out_inputs()
            with gr.Column(min_width=330):
                self._lay_out_result()
        gr.Markdown(_CONSENT.format(keep=_duration(self.storage.keep_seconds)), elem_id="consent")
        self._connect()

    def _lay_out_inputs(self) -> None:
        self.portrait = gr.Image(
            label="Portrait", sources=["upload", "webcam"], type="filepath", image_mode=None, height=270, elem_id="portrait"
        )
        # As the file that was uploaded, which the library reads with its limits and messages; Gradio would open it first.
        self.portrait.preprocess = lambda picture: None if picture is None else picture.path
        self.voice = gr.Audio(
            label=f"Voice, up to {_duration(self.studio.max_seconds)}",
            sources=["upload", "microphone"],
            type="filepath",
            buttons=[],
            elem_id="voice",
        )
        gr.Markdown("**Examples**")
        with gr.Row(elem_classes="examples"):
            self.examples = [
                gr.Button(example.title, size="sm", min_width=100, elem_id=f"example-{number}")
                for number, example in enumerate(EXAMPLES, start=1)
            ]
        self.plot = gr.HTML(_NO_PLOT, container=True, padding=False, elem_id="plot")
        self.emotion = gr.Dropdown(
            [AS_HEARD, AS_IN_TABLE, *EMOTIONS],
            value=AS_HEARD,
            label="Emotion of the face",
            filterable=False,
            elem_id="emotion",
        )
        with gr.Accordion("Emotion second by second", open=False, elem_id="by-second"):
            self.table = gr.Dataframe(
                headers=list(COLUMNS),
                datatype=["number", "str", "number"],
                type="array",
                value=[[0, "neutral", 1.0]],
                column_count=len(COLUMNS),
                interactive=True,
                max_height=280,
                buttons=[],
                label=f"Emotions: {', '.join(EMOTIONS)}. Strength: 0 to 3. Rows may be added and removed.",
                elem_id="table",
            )
        with gr.Accordion("Expression and motion", open=True):
            with gr.Row():
                self.intensity = gr.Slider(0, 3, 1, step=0.1, label="Intensity of the emotion", min_width=140)
                self.expression = gr.Slider(0, 3, 1, step=0.1, label="Brows, lids, cheeks", min_width=140)
            with gr.Row():
                self.head = gr.Slider(0, 3, 1, step=0.1, label="Head", min_width=140)
                self.lips = gr.Slider(0, 3, 1, step=0.1, label="Lips", min_width=140)
            with gr.Row():
                self.own_blinks = gr.Checkbox(True, label="Blinks as predicted", min_width=140)
                self.blinks = gr.Slider(0, 60, 17, step=1, label="Blinks a minute", interactive=False, min_width=140)
        with gr.Row():
            self.framing = gr.Radio(
                [("Head, shoulders", "crop"), ("Whole picture", "full")],
                value="crop",
                label="Framing",
                min_width=310,
                scale=3,
            )
            self.size = gr.Dropdown(
                self.sizes,
                value=min(512, self.sizes[-1]),
                label="Size, pixels",
                filterable=False,
                min_width=110,
                elem_id="size",
            )

    def _lay_out_result(self) -> None:
        with gr.Row():
            self.make = gr.Button("Make the video", variant="primary", elem_id="make", min_width=160, scale=2)
            self.cancel = gr.Button("Cancel", interactive=False, elem_id="cancel", min_width=90)
        self.status = gr.Markdown("", elem_id="status")
        self.video = gr.Video(label="Video", interactive=False, height=440, elem_id="result", buttons=[])
        with gr.Group(), gr.Row(equal_height=True):
            self.seed = gr.Number(
                0,
                label="Seed (the same one: the same video)",
                precision=0,
                minimum=0,
                maximum=_LARGEST_SEED,
                elem_id="seed",
                scale=2,
            )
            self.new_seed = gr.Button("New seed", elem_id="new-seed", min_width=90)
        self.files = gr.File(label="Downloads", file_count="multiple", interactive=False, visible=False, elem_id="files")
        self.add_head = gr.Button("Add the animated 3-D head (.glb)", size="sm", visible=False, elem_id="add-head")

    def _connect(self) -> None:
        hearing = {"fn": self.hear, "inputs": self.voice, "outputs": [self.heard, self.table, self.plot, self.emotion]}
        private = {"api_visibility": "private", "show_progress": "hidden"}
        drawn = {"fn": self.draw, "inputs": [self.heard, self.emotion, self.table], "outputs": self.plot, **private}
        self.voice.input(**hearing, api_visibility="private", show_progress_on=[self.plot])
        self.voice.clear(lambda: (None, _NO_PLOT), None, [self.heard, self.plot], **private)
        self.emotion.input(**drawn)
        self.table.input(lambda: AS_IN_TABLE, None, self.emotion, **private).then(**drawn)
        self.own_blinks.input(lambda own: gr.update(interactive=not own), self.own_blinks, self.blinks, **private)
        self.new_seed.click(lambda: secrets.randbelow(_SEEDS), None, self.seed, **private)
        shown = [self.portrait, self.voice, self.emotion, self.intensity, self.framing, self.heard, self.table, self.plot]
        for button, example in zip(self.examples, EXAMPLES, strict=True):
            button.click(self._loader(example), None, shown, api_visibility="private", show_progress_on=[self.plot])
        started = self.make.click(self._start, None, [self.make, self.cancel, self.status], **private)
        made = started.success(
            self.run,
            [self.portrait, self.voice, self.heard, self.table, self.emotion, self.intensity, self.expression, self.head,
             self.lips, self.own_blinks, self.blinks, self.framing, self.size, self.seed],
            [self.video, self.files, self.plot, self.status, self.made, self.add_head],
            concurrency_limit=1, concurrency_id="video", api_visibility="private", show_progress_on=[self.video],
        )  # fmt: skip
        for ended in (made.success, made.failure):  # Gradio's .then does not follow a failure here
            ended(lambda: _BUTTONS_READY, None, [self.make, self.cancel], **private)
        self.cancel.click(self.stop, None, [self.make, self.cancel, self.status], cancels=[made], **private)
        self.add_head.click(
            self.with_head, self.made, [self.files, self.add_head], concurrency_id="video", api_visibility="private",
            show_progress_on=[self.files],
        )  # fmt: skip
        self.blocks.unload(self.leave)

    def hear(self, voice: str | None) -> tuple[Any, ...]:
        """After a recording was given: its emotion, in the table and over the waveform."""
        if voice is None:
            return None, gr.skip(), _NO_PLOT, AS_HEARD
        heard = HeardVoice(*_said(lambda: self.studio.hear(Path(voice)), voice))
        return heard, rows_of(heard.track, heard.seconds), _heard_plot(heard), AS_HEARD

    def draw(self, heard: HeardVoice | None, emotion: str, table: Sequence[Sequence[Any]]) -> str:
        """The plot of the emotion that the face will have."""
        if heard is None:
            return _NO_PLOT
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


def _duration(seconds: float) -> str:
    """In words: 90 s, 5 minutes, 2 hours."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = round(seconds / unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds:g} s"
