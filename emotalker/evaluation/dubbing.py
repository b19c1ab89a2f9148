"""Do dubbed lips follow the new voice, and does the rest of the video stay as it was?"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT
from emotalker.evaluation.tables import markdown_table
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.resting import lip_gap
from emotalker.inference.articulation import lip_parting
from emotalker.inference.dubbing import DubbedVideo, dub
from emotalker.inference.pipeline import TalkingHead


@dataclass(frozen=True)
class DubbingScore:
    """Attributes:
    correlation: of the landmarks' lip gap with that of the new voice's coefficients.
    before: of the original video's lip gap with them.
    unchanged: whether all pixels outside the window are equal to the video's.
    head: mean displacement of the eyes' outer corners against the original, in eye distances.
    """

    correlation: float
    before: float
    unchanged: bool
    head: float


def measure_dubbing(dubbed: DubbedVideo, landmarker: FaceLandmarker) -> DubbingScore:
    """Measure a dubbed video frame by frame."""
    originals = dubbed.frames.take(dubbed.numbers)
    expected, gaps, before, shifts, unchanged = [], [], [], [], True
    landmarker.reset()
    opened = dubbed.motion.coefficients[:, ARKIT.lip] @ lip_parting()
    for frame, original, gap in zip(dubbed, originals, opened, strict=True):
        outside = np.ones(frame.shape[:2], bool)
        for shot in dubbed.shots:
            outside[shot.low[1] : shot.low[1] + shot.side, shot.low[0] : shot.low[0] + shot.side] = False
        unchanged &= np.array_equal(frame[outside], original[outside])
        new, old = landmarker.track(frame), landmarker.track(original)
        if new is None or old is None:
            continue
        expected.append(gap)
        gaps.append(lip_gap(new.points))
        before.append(lip_gap(old.points))
        corners = [33, 263]
        width = np.linalg.norm(old.points[33, :2] - old.points[263, :2])
        shifts.append(np.linalg.norm(new.points[corners, :2] - old.points[corners, :2], axis=1).mean() / width)

    def r(values: list[float]) -> float:
        return float(np.corrcoef(values, expected)[0, 1]) if len(values) > 2 else float("nan")

    return DubbingScore(r(gaps), r(before), unchanged, float(np.mean(shifts)))


def dubbing_report(
    talking_head: TalkingHead, videos: list[str | os.PathLike], voices: list[str | os.PathLike], seconds: float = 4.0
) -> str:
    """Dub every video with its voice, of which the first seconds are taken; a Markdown table."""
    rows = []
    for video, voice in zip(videos, voices, strict=True):
        samples = load_audio(voice)[: int(seconds * 16000)]
        motion = talking_head.generator.generate(samples, np.zeros(ARKIT.dim, np.float32))
        dubbed = dub(video, motion, talking_head.landmarker, talking_head.face_model, talking_head.make_renderer)
        score = measure_dubbing(dubbed, talking_head.landmarker)
        cells = [f"{score.correlation:.2f}", f"{score.before:.2f}", "yes" if score.unchanged else "no", f"{score.head:.3f}"]
        rows.append([str(video), str(voice), *cells])
    return markdown_table(["video", "voice", "lip gap r", "before", "unchanged outside", "head moved"], rows)
