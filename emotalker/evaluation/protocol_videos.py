"""The videos of a protocol: ours, generated from sound and picture, and the still picture as a baseline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.jobs import DONE, FAILED, Job, resume, run_jobs
from emotalker.core.progress import progress_bar
from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.evaluation.footage import CropRule, first_square
from emotalker.evaluation.protocols import Drive, Protocol, ProtocolClip
from emotalker.face.crop import Crop
from emotalker.inference.control import NO_CONTROL, Control, Reference, load_reference
from emotalker.inference.pipeline import TalkingHead
from emotalker.video.image import load_image, save_image
from emotalker.video.reader import video_info
from emotalker.video.writer import VideoWriter

STILL = "still picture"


def generate_videos(
    clips: Sequence[ProtocolClip],
    protocol: Protocol,
    folder: Path,
    size: int = 256,
    crop: CropRule = "auto",
    still: bool = True,
    samples: int = 1,
    checkpoints: str | os.PathLike | None = None,
    seed: int = 0,
    workers: int = 1,
) -> dict[str, str]:
    """Generate what is missing below ``folder``: ``identity/``, ``emotalker/`` and ``still/``.

    The picture has the crop in which the real video is scored, and the whole of it is animated, so that both agree pixel by
    pixel.

    Args:
        size, crop: of the pictures.
        still: also a video of the picture without motion.
        samples: videos of each clip, ``id__1.mp4`` ... if there are several; sample n takes ``seed + n - 1``.
        checkpoints: folder of trained networks.

    Returns:
        Errors by clip id.
    """
    jobs = []
    for clip in clips:
        for n in range(1, samples + 1):
            name = clip.id if samples == 1 else f"{clip.id}__{n}"
            sound = clip.source.audio or (clip.reference.path if not clip.reference.key else None)
            options = {
                "clip": clip.id, "identity": clip.identity, "picture": folder / "identity" / f"{clip.id}.png", "sound": sound,
                "reference": "" if clip.reference.key else clip.reference.path, "drive": protocol.drive, "seed": seed + n - 1,
                "size": size, "crop": crop, "still": folder / "still" / f"{clip.id}.mp4" if still and n == 1 else "",
                "checkpoints": checkpoints or "", "output": folder / "emotalker" / f"{name}.mp4",
            }  # fmt: skip
            jobs.append(Job({key: str(value) for key, value in options.items() if value not in (None, "")}))
    report = folder / "generated.csv"
    resume(jobs, report)
    left = [job for job in jobs if job.status != DONE]
    with progress_bar() as progress:
        for _ in progress.track(run_jobs(jobs, partial(_generate), report, workers), len(left), description="generating"):
            pass
    return {job.options["clip"]: job.message for job in jobs if job.status == FAILED}


@lru_cache(maxsize=1)
def _talking_head(checkpoints: str | None) -> TalkingHead:
    return TalkingHead.from_pretrained(checkpoints)


def _generate(arguments: list[str]) -> str:
    """Generate the video that a job's arguments describe, and its baseline."""
    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    head, size = _talking_head(given.get("checkpoints")), int(given["size"])
    try:
        picture = _picture(Path(given["identity"]), Path(given["picture"]), head, size, given["crop"])
        drive: Drive = given["drive"]
        sound = None if drive == "video" else given.get("sound")
        if sound is None and drive != "video":
            raise DataError(f"{given['clip']} has no sound; run the protocol with --drive video")
        if sound and Path(sound).suffix.lower() in VIDEO_SUFFIXES and not video_info(sound).has_audio:
            raise DataError(f"{sound} has no sound; run the protocol with --drive video")
        if drive != "audio" and "reference" not in given:
            raise DataError(f"{given['clip']} has no real video that could drive it; run the protocol with --drive audio")
        control = NO_CONTROL if drive == "audio" else driving_control(load_reference(given["reference"]), drive)
        options = {"framing": "full", "size": size, "control": control}
        if drive == "video":
            still_face = MotionTrack(np.zeros((len(control.references[0].motion.coefficients), ARKIT.dim), np.float32), ARKIT)
            video = head.animate(still_face, picture, **options)
        else:
            video = head.generate(sound, picture, seed=int(given["seed"]), **options)
        video.save(given["output"])
        if "still" in given:
            write_still(Path(given["still"]), picture, len(video), sound)
    except (ValueError, OSError) as error:
        raise DataError(f"{given['clip']} cannot be generated ({error}); check its files") from error
    return f"{len(video)} frames"


def driving_control(motion: MotionTrack, drive: Drive) -> Control:
    """Pose, relative to the first frame, and expression of a real video, with ``video`` also its lips."""
    parts = [Reference(motion, "pose", relative=True, ending="hold"), Reference(motion, "expression", ending="hold")]
    return Control((*parts, Reference(motion, "lips", ending="hold")) if drive == "video" else tuple(parts))


def write_still(path: Path, picture: np.ndarray, frames: int, sound: str | os.PathLike | None = None) -> Path:
    """A video of one picture ``(H, W, 3)``."""
    audio = None if sound is None else load_audio(sound)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, picture.shape[1], picture.shape[0], 25, audio, SAMPLE_RATE) as writer:
        for _ in range(frames):
            writer.write(picture)
    return path


def _picture(identity: Path, target: Path, head: TalkingHead, size: int, crop: CropRule) -> np.ndarray:
    """The square that is animated, also written to ``target``."""
    if identity.suffix.lower() in VIDEO_SUFFIXES:
        square = first_square(identity, head.landmarker, size, crop)
    else:
        image = load_image(identity)
        faces = head.landmarker.detect(image)
        if not faces:
            raise DataError(f"no face found in {identity}; give another portrait")
        square = Crop.around_head(faces[0].points[:, :2], image.shape[1], image.shape[0], size).take(image)
    with replace_on_success(target) as temporary:
        save_image(temporary, square)
    return square
