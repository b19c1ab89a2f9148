"""What the worker processes compute: videos, motions and conversations."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotalker.core.errors import EmoTalkerError
from emotalker.core.files import replace_on_success
from emotalker.service.intake import Inspector
from emotalker.service.worker import Engine, Report

if TYPE_CHECKING:
    from emotalker.coefficients import MotionTrack
    from emotalker.inference.pipeline import TalkingHead
    from emotalker.inference.streaming import TalkingStream
    from emotalker.inference.style import Style
    from emotalker.service.wire import Pipe

#: File of the emotion over time, in the folder of a job that has one.
EMOTION_TRACK = "emotion.csv"
#: Quality of the pictures of a conversation, of 100.
JPEG_QUALITY = 85


class TalkingEngine:
    """Runs the networks.

    Args:
        checkpoints: folder of trained weights; None for the shipped ones.
        device: where the networks run.
    """

    def __init__(self, checkpoints: str | None = None, device: str = "cpu"):
        self.checkpoints, self.device = checkpoints, device

    def load(self) -> None:
        """Load the networks; CheckpointError if they or the landmarker's file are missing."""
        from emotalker.inference.pipeline import TalkingHead

        self._head: TalkingHead = TalkingHead.from_pretrained(self.checkpoints, self.device)

    def run(self, job: dict[str, Any], report: Report) -> dict[str, Any]:
        """Make the video or the motion of a job; its files are in ``job["folder"]``, and the result is written there.

        Raises:
            EmoTalkerError: what was sent cannot be used. Messages name no path of the service.
        """
        folder = Path(job["folder"])
        started = time.perf_counter()
        try:
            make = self._video if job["kind"] == "video" else self._motion
            result, frames = make(folder, job["options"], report)
        except EmoTalkerError as error:
            message = str(error)
            for name in ("audio", "image"):
                message = message.replace(str(folder / name), f"the {name}")
            raise type(error)(message.replace(str(folder), "the job")) from error
        return {"result": result, "message": f"{frames} frames in {time.perf_counter() - started:.1f} s"}

    def _video(self, folder: Path, options: dict[str, Any], report: Report) -> tuple[str, int]:
        from emotalker.inference.framing import Background
        from emotalker.render.warp_renderer import WarpRenderer
        from emotalker.video.image import load_image

        image = load_image(folder / "image")
        size = options["size"]
        if size is None and options["framing"] == "full":
            size = min(max(image.shape[:2]), options["max_size"]) // 2 * 2
        report("audio to motion", 0, 0)
        background = options["background"]
        video = self._head.generate(
            folder / "audio",
            image,
            framing=options["framing"],
            size=size,
            fps=options["fps"],
            face=options["face"],
            background=None if background is None else Background.parse(background),
            keep_expression=options["keep_expression"],
            **_generation(options, folder),
        )
        video.make_renderer = partial(WarpRenderer, shading=options["shading"])
        name = f"result.{options['format']}"
        video.save(folder / name, lambda done, total: report("rendering", done, total))
        return name, len(video)

    def _motion(self, folder: Path, options: dict[str, Any], report: Report) -> tuple[str, int]:
        from emotalker.audio.io import load_audio

        report("audio to motion", 0, 0)
        generator = self._head.generator
        reference = np.zeros(generator.space.dim, np.float32)
        motion = generator.generate(load_audio(folder / "audio"), reference, **_generation(options, folder))
        name = {"json": "result.json", "csv": "result.csv", "npz": "result.npz", "live-link": "result.csv"}[options["format"]]
        _save_motion(motion, folder / name, options["format"])
        return name, len(motion.coefficients)

    def stream(self, start: dict[str, Any], pipe: Pipe) -> str:
        """Answer chunks of audio with frames until the message ``end`` or ``stop``."""
        options = start["options"]
        from emotalker.render.warp_renderer import WarpRenderer

        common = {"seed": options["seed"], "style": _style(options)}
        if options["output"] == "jpeg":
            self._head.make_renderer = partial(WarpRenderer, shading=options["shading"])
            picture = {name: options[name] for name in ("sample_rate", "size", "keep_expression")}
            talking = self._head.stream(Path(start["image"]), **picture, **common)
            return _Pictures(talking).answer(pipe)
        return _Coefficients(self._head, options["sample_rate"], common).answer(pipe)


class _Conversation:
    """Reads audio and sends what it gives."""

    def answer(self, pipe: Pipe) -> str:
        pipe.send({"type": "started", **self.describe()})
        while (received := pipe.receive()) is not None:
            message, payload = received
            if message["type"] == "audio":
                self.push(pipe, np.frombuffer(payload, "<i2"))
            elif message["type"] == "stop":
                return "stopped"
            else:
                self.finish(pipe)
                return "over"
        raise SystemExit(1)

    def describe(self) -> dict[str, Any]:
        raise NotImplementedError

    def push(self, pipe: Pipe, samples: np.ndarray) -> None:
        raise NotImplementedError

    def finish(self, pipe: Pipe) -> None:
        raise NotImplementedError


class _Pictures(_Conversation):
    def __init__(self, talking: TalkingStream):
        self.talking = talking

    def describe(self) -> dict[str, Any]:
        return {"fps": self.talking.fps, "size": self.talking.size, "latency": self.talking.latency}

    def push(self, pipe: Pipe, samples: np.ndarray) -> None:
        self._send(pipe, self.talking.push(samples))

    def finish(self, pipe: Pipe) -> None:
        self._send(pipe, self.talking.finish())

    def _send(self, pipe: Pipe, frames: Any) -> None:
        import cv2

        for image, _ in frames:
            _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            pipe.send({"type": "frame"}, jpeg.tobytes())


class _Coefficients(_Conversation):
    def __init__(self, head: TalkingHead, sample_rate: int, options: dict[str, Any]):
        from emotalker.audio.chunks import ChunkReader
        from emotalker.inference.motion_stream import MotionStream

        self.chunks = ChunkReader(sample_rate)
        self.motion = MotionStream(head.generator, np.zeros(head.generator.space.dim, np.float32), **options)

    def describe(self) -> dict[str, Any]:
        space = self.motion.space
        return {"fps": space.fps, "names": list(space.names), "latency": self.motion.latency}

    def push(self, pipe: Pipe, samples: np.ndarray) -> None:
        self._send(pipe, self.motion.push(self.chunks.read(samples)))

    def finish(self, pipe: Pipe) -> None:
        self._send(pipe, self.motion.push(self.chunks.finish()))
        self._send(pipe, self.motion.finish())

    def _send(self, pipe: Pipe, rows: np.ndarray) -> None:
        for row in rows:
            pipe.send({"type": "coefficients", "values": [round(float(value), 5) for value in row]})


def _generation(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Arguments of :meth:`MotionGenerator.generate`."""
    names = ("seed", "decoding", "temperature", "top_p")
    return {"style": _style(options, folder / EMOTION_TRACK), **{name: options[name] for name in names}}


def _style(options: dict[str, Any], track: Path | None = None) -> Style:
    from emotalker.inference.emotion_track import EmotionTrack
    from emotalker.inference.style import Style, parse_emotion

    emotion = parse_emotion(options["emotion"]) if options["emotion"] else None
    over_time = EmotionTrack.load(track) if track is not None and track.exists() else None
    return Style(
        emotion,
        emotion_track=over_time,
        **{name: options[name] for name in ("intensity", "expression", "head", "lips", "blinks")},
    )


def _save_motion(motion: MotionTrack, path: Path, form: str) -> None:
    if form == "live-link":
        from emotalker.coefficients.live_link import write_live_link

        write_live_link(path, motion.coefficients)
    elif form == "json":
        space = motion.space
        rows = [[round(float(value), 5) for value in row] for row in motion.coefficients]
        content = {"space": space.name, "fps": space.fps, "names": list(space.names), "coefficients": rows}
        with replace_on_success(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
    else:
        motion.save(path)


def engine_from(arguments: Sequence[str]) -> Engine:
    """The engine of a worker process from its command line."""
    parser = ArgumentParser()
    parser.add_argument("role", choices=["render", "inspect"])
    parser.add_argument("--checkpoints")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    return Inspector() if args.role == "inspect" else TalkingEngine(args.checkpoints, args.device)
