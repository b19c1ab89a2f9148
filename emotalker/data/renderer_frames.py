"""Training data of trainable renderers: frames of self-reenacted clips, one ``.npz`` a clip (docs/method.md 11).

A clip's file has its source picture, N real frames, and what the warp renders in their place, as JPEG; for each frame the
window of motion around it and where face and mouth are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from emotalker.core.arrays import open_arrays
from emotalker.core.errors import DataError, EmoTalkerError
from emotalker.core.files import replace_on_success
from emotalker.core.splits import Split
from emotalker.data.face_videos import FaceVideo
from emotalker.data.reenactment import Reenactment, read_reenactment
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.topology import OUTER_LIPS
from emotalker.render.base import RendererFactory
from emotalker.render.face_box import FaceBox

#: Frames on either side of a frame whose motion is stored with it.
REACH = 13
QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 96, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@dataclass
class ClipFrames:
    """N frames of one clip.

    Attributes:
        pictures: ``(M,)`` uint8, all JPEG files one after the other: the source, the N real frames, the N warped ones.
        ends: ``(1 + 2 N,)`` end of each file in ``pictures``.
        windows: ``(N, 2 REACH + 1, 58)`` float32 motion around each frame; the clip's ends are repeated.
        boxes: ``(1 + N, 3)`` float32 square of the face in the source and in each frame, as of
            :class:`~emotalker.render.face_box.FaceBox`.
        mouths: ``(N, 3)`` float32 x and y of the mouth's centre in the real frame and half its width, pixels.
        size: side of the pictures, pixels.
        person, corpus, source, licence, split: of the video.
    """

    pictures: np.ndarray
    ends: np.ndarray
    windows: np.ndarray
    boxes: np.ndarray
    mouths: np.ndarray
    size: int
    person: str
    corpus: str
    source: str
    licence: str
    split: str

    def __len__(self) -> int:
        return len(self.windows)

    def picture(self, index: int) -> np.ndarray:
        """``(S, S, 3)`` uint8 RGB: 0 the source, 1 + n the real frame n, 1 + N + n the warped frame n."""
        start = self.ends[index - 1] if index else 0
        decoded = cv2.imdecode(self.pictures[start : self.ends[index]], cv2.IMREAD_COLOR)
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def windows_around(motion: np.ndarray, frames: np.ndarray, reach: int) -> np.ndarray:
    """``(N, 2 reach + 1, D)`` of motion ``(T, D)`` around the frames ``(N,)``; first and last row are repeated beyond."""
    offsets = np.arange(-reach, reach + 1)
    return motion[np.clip(frames[:, None] + offsets, 0, len(motion) - 1)]


def clip_frames(clip: Reenactment, video: FaceVideo, make_renderer: RendererFactory, count: int) -> ClipFrames:
    """``count`` evenly spaced frames of a clip, without the first, rendered by ``make_renderer``."""
    chosen = np.unique(np.linspace(1, len(clip) - 1, min(count, len(clip) - 1)).round().astype(int))
    warped = list(make_renderer(clip.portrait).render(clip.motion[chosen]))
    files = [_encode(picture) for picture in (clip.portrait.image, *clip.frames[chosen], *warped)]
    box = FaceBox(clip.portrait)
    lips = clip.landmarks[chosen][:, np.concatenate([OUTER_LIPS.upper, OUTER_LIPS.lower])]
    low, high = lips.min(1), lips.max(1)
    return ClipFrames(
        pictures=np.concatenate(files),
        ends=np.cumsum([len(file) for file in files]),
        windows=windows_around(clip.motion, chosen, REACH).astype(np.float32),
        boxes=np.array([box(motion[-6:]) for motion in (np.zeros(58), *clip.motion[chosen])], np.float32),
        mouths=np.column_stack([(low + high) / 2, (high - low)[:, 0] / 2]).astype(np.float32),
        size=clip.portrait.size,
        person=video.person,
        corpus=video.corpus.name,
        source=video.corpus.source,
        licence=video.corpus.licence,
        split=video.split,
    )


def prepare_clips(
    output: Path,
    videos: Iterable[FaceVideo],
    landmarker: FaceLandmarker,
    make_renderer: RendererFactory,
    size: int,
    frames: int,
    limit: int | None = None,
) -> tuple[int, list[str]]:
    """Write one file for each video; files that exist are kept.

    Args:
        output: folder.
        size: side of the pictures, pixels.
        frames: of each clip.
        limit: read at most this many frames of a video.

    Returns:
        the number of frames written, and a sentence for each video that cannot be used.
    """
    model, count, failures = FaceModel.load(), 0, []
    for video in videos:
        path = output / f"{video.corpus.name}_{video.path.stem}.npz"
        if path.exists():
            continue
        try:
            clip = clip_frames(read_reenactment(video.path, landmarker, model, size, limit), video, make_renderer, frames)
        except EmoTalkerError as error:
            failures.append(str(error))
            continue
        with replace_on_success(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{field.name: np.asarray(getattr(clip, field.name)) for field in fields(clip)})
        count += len(clip)
    return count, failures


def load_clip_frames(root: str | os.PathLike, split: Split) -> list[ClipFrames]:
    """All clips of a split in a folder of :func:`prepare_clips`; DataError if there are none or a file is damaged."""
    clips = []
    for path in sorted(Path(root).glob("*.npz")):
        with open_arrays(path, "{path} is damaged ({reason}); delete it and prepare the frames again") as file:
            if str(file["split"]) == split:
                values = {field.name: file[field.name] for field in fields(ClipFrames)}
                clips.append(ClipFrames(**{k: v if v.ndim else v.item() for k, v in values.items()}))
    if not clips:
        raise DataError(f"{root} has no clips of the split {split}; write some with scripts/prepare_renderer_frames.py")
    return clips


def _encode(picture: np.ndarray) -> np.ndarray:
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), QUALITY)[1].ravel()
