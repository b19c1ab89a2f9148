"""The controls of the page and where they are (Gradio)."""

from __future__ import annotations

import gradio as gr

from emotalker.app.emotion_table import COLUMNS
from emotalker.app.examples import EXAMPLES
from emotalker.core.emotions import EMOTIONS

AS_HEARD, AS_IN_TABLE = "of the voice", "of the table"
NO_PLOT = '<div class="emotion-plot empty">The emotion of the voice appears here once there is a recording.</div>'
#: Largest seed that may be typed.
_LARGEST_SEED = 2**31 - 1
_INTRODUCTION = """# EmoTalker
A portrait speaks a recording, with the voice's emotion on the face."""
_CONSENT = """Use portraits and voices only of people who agreed to it, and say that the video is synthetic. \
What you upload and what is made of it can be read by you alone and is deleted after {keep}."""


class Controls:
    """Lays out the page; to be made inside Gradio's Blocks.

    Args:
        max_seconds: longest recording.
        keep_seconds: what a session knows is forgotten after this.
        sizes: of videos that may be chosen, pixels.

    Attributes:
        heard, made: states of the session: its recording with the emotion heard, and its last video.
        portrait, voice, emotion, ...: the controls.
    """

    def __init__(self, max_seconds: float, keep_seconds: float, sizes: list[int]):
        gr.Markdown(_INTRODUCTION, elem_id="header")
        self.heard, self.made = (gr.State(None, time_to_live=keep_seconds) for _ in range(2))
        with gr.Row(equal_height=False):
            with gr.Column(min_width=330):
                self._lay_out_inputs(max_seconds, sizes)
            with gr.Column(min_width=330, elem_id="result-column"):
                self._lay_out_result()
        gr.Markdown(_CONSENT.format(keep=duration(keep_seconds)), elem_id="consent")

    def _lay_out_inputs(self, max_seconds: float, sizes: list[int]) -> None:
        self.portrait = gr.Image(
            label="Portrait", sources=["upload", "webcam"], type="filepath", image_mode=None, height=270, elem_id="portrait"
        )
        # As the file that was uploaded, which the library reads with its limits and messages; Gradio would open it first.
        self.portrait.preprocess = lambda picture: None if picture is None else picture.path
        self.voice = gr.Audio(
            label=f"Voice, up to {duration(max_seconds)}",
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
        self.plot = gr.HTML(NO_PLOT, container=True, padding=False, elem_id="plot")
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
                self.intensity = gr.Slider(0, 3, 1, step=0.1, label="Intensity", min_width=140)
                self.expression = gr.Slider(0, 3, 1, step=0.1, label="Brows, eyes", min_width=140)
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
                sizes,
                value=min(512, sizes[-1]),
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


def duration(seconds: float) -> str:
    """In words: 90 s, 5 minutes, 2 hours."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = round(seconds / unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds:g} s"
