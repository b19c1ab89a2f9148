"""What a request may ask for."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from emotalker.inference.framing import COLOURS
from emotalker.inference.style import StyleError, parse_emotion

Amplitude = Annotated[float, Field(ge=0, le=3)]
Fraction = Annotated[float, Field(ge=0, le=1)]
EvenSize = Annotated[int, Field(ge=64, le=3840, multiple_of=2)]


class StyleOptions(BaseModel):
    """How the person speaks. The defaults keep the emotion of the voice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    emotion: str | None = Field(
        None, max_length=200, description="replaces the recognised emotion: happy, or a mix such as sad:0.6,angry:0.2"
    )
    intensity: Amplitude = Field(1.0, description="of the emotion; 0 is neutral")
    expression: Amplitude = Field(1.0, description="amplitude of brows, eyelids and cheeks")
    head: Amplitude = Field(1.0, description="amplitude of head motion; 0 keeps it still")
    lips: Amplitude = Field(1.0, description="amplitude of lips and jaw")
    blinks: float | None = Field(None, ge=0, le=120, description="a minute; without it, as predicted")
    seed: int = Field(0, ge=0, lt=2**32, description="of all random numbers")

    @field_validator("emotion")
    @classmethod
    def _known(cls, emotion: str | None) -> str | None:
        if emotion:
            try:
                parse_emotion(emotion)
            except StyleError as error:
                raise ValueError(str(error)) from error
        return emotion or None


class GenerationOptions(StyleOptions):
    """How the motion is generated."""

    emotion_track: str | None = Field(
        None,
        max_length=60_000,
        description="the emotion over time, instead of emotion: CSV, time,emotion,share or time,valence,arousal",
    )

    decoding: Literal["sample", "continuous", "nearest"] = Field("sample", description="how codes are decoded")
    temperature: float = Field(1.0, gt=0, le=10, description="of sampled codes")
    top_p: float = Field(0.9, gt=0, le=1, description="share of the probability that sampled codes are of")

    @model_validator(mode="after")
    def _one_emotion(self) -> GenerationOptions:
        if self.emotion and self.emotion_track:
            raise ValueError("give emotion or emotion_track, not both")
        return self


class PictureOptions(BaseModel):
    """How the face is drawn."""

    keep_expression: Fraction = Field(0.0, description="share of the picture's own expression that is kept")
    shading: Amplitude = Field(1.5, description="strength of folds of the skin")


class VideoOptions(GenerationOptions, PictureOptions):
    """Options of a video."""

    framing: Literal["crop", "full"] = Field("crop", description="head and shoulders in a square, or the whole picture")
    size: EvenSize | None = Field(None, description="sides of the square, or longer side of the whole picture, pixels")
    fps: Literal[25, 30, 50, 60] = Field(25, description="frames per second")
    face: int | None = Field(
        None, ge=1, le=100, description="which face, counted from 1 at the left; without it, the largest"
    )
    background: str | None = Field(None, max_length=20, description="#rrggbb, a name such as white, or transparent")
    format: Literal["mp4", "webm", "mov"] = Field("mp4", description="transparent videos are webm or mov")

    @field_validator("fps", mode="before")
    @classmethod
    def _number(cls, fps: object) -> object:
        return int(fps) if isinstance(fps, str) and fps.isdecimal() else fps  # form fields are text

    @field_validator("background")
    @classmethod
    def _no_path(cls, background: str | None) -> str | None:
        """The command's ``--background`` may be a file; a client's may not, or it would be one of the service."""
        name = (background or "").strip().lower()
        if name and name != "transparent" and name not in COLOURS and not re.fullmatch("#[0-9a-f]{6}", name):
            raise ValueError(f"write #rrggbb, transparent, or one of {', '.join(sorted(COLOURS))}")
        return name or None

    @model_validator(mode="after")
    def _transparent(self) -> VideoOptions:
        if (self.background == "transparent") != (self.format != "mp4"):
            raise ValueError("the formats webm and mov are for the background transparent, and mp4 for all others")
        return self


class MotionOptions(GenerationOptions):
    """Options of a motion."""

    format: Literal["json", "csv", "npz", "live-link"] = Field("json", description="of the answer")


class StreamOptions(StyleOptions, PictureOptions):
    """The first message of a conversation."""

    type: Literal["start"] = "start"
    token: str | None = Field(None, max_length=500, description="where the client cannot set the header Authorization")
    portrait: str | None = Field(None, max_length=100, description="id of an earlier conversation's portrait")
    output: Literal["jpeg", "coefficients"] = Field("jpeg", description="what is answered")
    sample_rate: int = Field(16000, ge=8000, le=192000, description="of the audio, Hz")
    size: Annotated[int, Field(ge=64, le=1024, multiple_of=2)] = Field(512, description="width and height, pixels")
