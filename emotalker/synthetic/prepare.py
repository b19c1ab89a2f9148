"""Preparation of the face reader's training data: folders of :mod:`emotalker.synthetic.dataset`.

Files that exist are kept and not computed again, so an interrupted preparation can be resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from emotalker.core.files import replace_on_success
from emotalker.core.progress import progress_bar
from emotalker.core.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from emotalker.synthetic.dataset import HEADER, save_faces
from emotalker.synthetic.films import MOVING_FRACTION
from emotalker.synthetic.sources import FaceSources
from emotalker.video.frames import timed_frames
from emotalker.video.image import load_image

PEOPLE_PER_FILE = 25
SYNTHETIC = {"source": "faces rendered with EmoTalker's own head model", "licence": "CC0", "synthetic": True}


def prepare_synthetic(
    output: Path, sources: FaceSources, people: int, first: int = 0, moving_fraction: float = MOVING_FRACTION
) -> int:
    """Write faces of synthetic people, PEOPLE_PER_FILE in a file.

    Args:
        output: folder.
        sources: generates the faces.
        people: number of people.
        first: number of the first person, so that several machines can share the work.
        moving_fraction: see :func:`~emotalker.synthetic.films.random_moments`.

    Returns:
        the number of faces added.
    """
    numbers = range(first, first + people)
    batches = [numbers[i : i + PEOPLE_PER_FILE] for i in range(0, people, PEOPLE_PER_FILE)]
    return _write(output, SYNTHETIC, batches, lambda number: sources.synthetic(number, moving_fraction), "synthetic")


def prepare_portraits(output: Path, sources: FaceSources, paths: Sequence[Path], source: str, licence: str) -> int:
    """Write faces of animated portraits, one portrait in a file.

    Args:
        output: folder.
        sources: generates the faces.
        paths: images, videos (their first frame is the portrait), or folders of both.
        source, licence: of the images.

    Returns:
        the number of faces added.

    Raises:
        ImageError, VideoError: a file cannot be read.
        FaceNotFoundError: there is no face in an image.
    """
    inputs = files_in(paths, VIDEO_SUFFIXES | IMAGE_SUFFIXES)

    def faces(number: int) -> list[dict[str, np.ndarray]]:
        path = inputs[number]
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        image = next(iter(timed_frames(path)))[2] if is_video else load_image(path)
        return sources.portrait(image, number, str(path))

    header = {"source": source, "licence": licence, "synthetic": False}
    return _write(output, header, [[number] for number in range(len(inputs))], faces, "portraits")


def prepare_videos(output: Path, sources: FaceSources, paths: Sequence[Path], source: str, licence: str) -> int:
    """Write faces of real videos, one video in a file.

    Args:
        output: folder.
        sources: labels the faces.
        paths: videos, or folders of videos.
        source, licence: of the videos.

    Returns:
        the number of faces added.

    Raises:
        VideoError: a video cannot be read.
    """
    inputs = files_in(paths, VIDEO_SUFFIXES)
    header = {"source": source, "licence": licence, "synthetic": False}
    batches = [[number] for number in range(len(inputs))]
    return _write(output, header, batches, lambda number: sources.video(inputs[number], number), "videos")


def files_in(paths: Sequence[Path], suffixes: Collection[str]) -> list[Path]:
    """The given files, and the files with one of the suffixes directly in the given folders, sorted by name."""
    found = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else None
        found += [path] if inside is None else [file for file in inside if file.suffix.lower() in suffixes]
    return found


def _write(
    output: Path,
    header: dict,
    batches: Sequence[Sequence[int]],
    faces: Callable[[int], list[dict[str, np.ndarray]]],
    description: str,
) -> int:
    """Write the header and one file per batch of people, named after the batch's last number; returns the faces added."""
    output.mkdir(parents=True, exist_ok=True)
    with replace_on_success(output / HEADER) as temporary:
        temporary.write_text(json.dumps(header))
    count = 0
    with progress_bar() as progress:
        for batch in progress.track(batches, description=description):
            path = output / f"{batch[-1]:06d}.npz"
            if path.exists():
                continue
            crops = [crop for number in batch for crop in faces(number)]
            if crops:
                save_faces(path, crops)
            count += len(crops)
    return count
