"""Do dubbed lips follow the new voice, and does the rest of the video stay as it was?"""

from __future__ import annotations

import os
import time
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
    border: largest difference from the video in the window's outermost pixels, 0..255, where an edge would show.
    head: mean displacement of the eyes' outer corners against the original, in eye distances.
    seconds: processor time of a dubbed frame.
    """

    correlation: float
    before: float
    unchanged: bool
    border: int
    head: float
    seconds: float


def measure_dubbing(dubbed: DubbedVideo, landmarker: FaceLandmarker) -> DubbingScore:
    """Measure a dubbed video frame by frame."""
    originals = dubbed.frames.take(dubbed.numbers)
    expected, gaps, before, shifts, unchanged, border, spent = [], [], [], [], True, 0, 0.0
    started = time.process_time()
    landmarker.reset()
    opened = dubbed.motion.coefficients[:, ARKIT.lip] @ lip_parting()
    for frame, original, gap in zip(dubbed, originals, opened, strict=True):
        spent += time.process_time() - started
        outside = np.ones(frame.shape[:2], bool)
        for shot in dubbed.shots:
            window = (slice(shot.low[1], shot.low[1] + shot.side), slice(shot.low[0], shot.low[0] + shot.side))
            outside[window] = False
            change = np.abs(frame[window].astype(int) - original[window]).max(-1)
            border = max(border, int(change[[0, -1]].max()), int(change[:, [0, -1]].max()))
        unchanged &= np.array_equal(frame[outside], original[outside])
        new, old = landmarker.track(frame), landmarker.track(original)
        if new is None or old is None:
            started = time.process_time()
            continue
        expected.append(gap)
        gaps.append(lip_gap(new.points))
        before.append(lip_gap(old.points))
        corners = [33, 263]
        width = np.linalg.norm(old.points[33, :2] - old.points[263, :2])
        shifts.append(np.linalg.norm(new.points[corners, :2] - old.points[corners, :2], axis=1).mean() / width)
        started = time.process_time()

    def r(values: list[float]) -> float:
        return float(np.corrcoef(values, expected)[0, 1]) if len(values) > 2 else float("nan")

    return DubbingScore(r(gaps), r(before), unchanged, border, float(np.mean(shifts)), spent / len(dubbed))


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
        cells = [f"{score.correlation:.2f}", f"{score.before:.2f}", "yes" if score.unchanged else "no", str(score.border)]
        rows.append([str(video), str(voice), *cells, f"{score.head:.3f}", f"{score.seconds:.3f}"])
    header = ["video", "voice", "lip gap r", "before", "unchanged outside", "border", "head moved", "s a frame"]
    return markdown_table(header, rows)
