"""A preview video: the original on the left, with the tracked head's mesh on the right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.model import FaceModel
from emotalker.face.topology import FACE_OVAL, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from emotalker.tracking.result import TrackedVideo
from emotalker.video.frames import timed_frames
from emotalker.video.reader import video_info
from emotalker.video.writer import VideoWriter

MIN_HEIGHT, MAX_HEIGHT = 480, 720
MESH_COLOR, EDGE_COLOR = (90, 220, 255), (255, 170, 60)
EDGES = (*(np.r_[contours.upper, contours.lower[-2:0:-1]] for contours in (INNER_LIPS, OUTER_LIPS, RIGHT_EYE, LEFT_EYE)),)


class MeshOverlay:
    """Renders a tracked head's face as a wire mesh with the edges of lips and lids."""

    def __init__(self, model: FaceModel):
        self.model = model
        skin = model.triangles[model.parts["skin"]]
        outline = model.landmark_mean[FACE_OVAL, :2].astype(np.float32)
        centres = model.vertices[skin].mean(1)
        inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y, _ in centres]
        self.triangles = skin[np.array(inside) & (centres[:, 2] > 0)]

    def draw(self, picture: np.ndarray, tracked: TrackedVideo, frame: int) -> np.ndarray:
        """A copy of a picture ``(H, W, 3)`` uint8 of the video's aspect ratio, with the mesh if the frame has a face."""
        if not tracked.valid[frame]:
            return picture.copy()
        identity, blendshapes, angles, translation = tracked.placed(frame)
        rotation, scale = rotation_matrix(angles).T, picture.shape[1] / tracked.size[0]

        def pixels(points: np.ndarray) -> np.ndarray:
            return tracked.camera.project(points @ rotation + translation) * scale

        # Fixed-point coordinates in 1/16 pixel.
        corners = np.round(pixels(self.model.deform(identity, blendshapes))[self.triangles] * 16 - 8).astype(np.int32)
        first, second = (corners[:, i] - corners[:, 0] for i in (1, 2))
        front = first[:, 0].astype(np.int64) * second[:, 1] < first[:, 1].astype(np.int64) * second[:, 0]
        mesh = picture.copy()
        cv2.polylines(mesh, list(corners[front]), True, MESH_COLOR, 1, cv2.LINE_AA, 4)
        overlaid = cv2.addWeighted(picture, 0.55, mesh, 0.45, 0)
        edges = pixels(self.model.landmarks(identity, blendshapes))
        lines = [np.round(edges[edge] * 16 - 8).astype(np.int32) for edge in EDGES]
        cv2.polylines(overlaid, lines, True, EDGE_COLOR, max(1, picture.shape[0] // 300), cv2.LINE_AA, 4)
        return overlaid


def write_preview(
    tracked: TrackedVideo,
    video: str | os.PathLike,
    output: str | os.PathLike,
    on_frame: Callable[[int], None] | None = None,
) -> Path:
    """Write the video on the left and the video with the mesh on the right, at 25 fps, with its sound.

    Args:
        tracked: result of tracking the video.
        video: the tracked file.
        output: ``.mp4`` to write.
        on_frame: called with the number of frames written so far.

    Raises:
        VideoError, OutputError: reading or writing fails.
    """
    width, height = tracked.size
    scale = np.clip(height, MIN_HEIGHT, MAX_HEIGHT) / height
    width, height = (2 * max(1, round(side * scale / 2)) for side in (width, height))
    overlay, fps, frame = MeshOverlay(FaceModel.load()), tracked.motion.space.fps, 0
    sound = load_audio(video, SAMPLE_RATE) if video_info(video).has_audio else None
    with VideoWriter(output, 2 * width, height, fps, sound, SAMPLE_RATE) as writer:

        def write_until(time: float, picture: np.ndarray) -> None:
            """Write a picture for all output frames before ``time``."""
            nonlocal frame
            while frame < len(tracked) and frame / fps < time - 1e-6:
                writer.write(np.hstack([picture, overlay.draw(picture, tracked, frame)]))
                frame += 1
                if on_frame:
                    on_frame(frame)

        shown = None
        for time, period, image in timed_frames(video):
            if shown is not None:
                write_until(time - period / 2, shown)  # each output frame is the picture nearest in time
            shown = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        write_until(np.inf, shown)
    return Path(output)
