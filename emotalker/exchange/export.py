"""Reading and writing motion in any of the supported formats, by suffix."""

from __future__ import annotations

import os
from pathlib import Path

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.coefficients.live_link import write_live_link
from emotalker.core.errors import DataError, OutputError
from emotalker.exchange.avatar import animate_glb
from emotalker.exchange.bvh import write_bvh
from emotalker.exchange.gltf import read_glb_motion, write_glb
from emotalker.face.portrait import Portrait


def load_motion(path: str | os.PathLike) -> MotionTrack:
    """A motion of ARKIT from .npz, .csv (ours or Live Link Face's) or the animation of a .glb.

    Frames without a face, in tracked videos, take the nearest frame with one.

    Raises:
        DataError: the file cannot be read, its motion is of another space, or no frame has a face.
    """
    track = read_glb_motion(path) if Path(path).suffix.lower() == ".glb" else MotionTrack.load(path)
    if track.space != ARKIT:
        raise DataError(f"{path} is {track.space.name} motion; other programs take {ARKIT.name}")
    return track.without_gaps(path)


def export_motion(
    path: str | os.PathLike,
    motion: MotionTrack,
    portrait: Portrait | None = None,
    avatar: str | os.PathLike | None = None,
    audio_name: str | None = None,
    live_link: bool = False,
    fps: int = 60,
) -> Path:
    """Write a motion of ARKIT in the format of the suffix: .glb, .bvh, .csv or .npz.

    Args:
        path: file to write.
        motion: of ARKIT.
        portrait: whose head a .glb shows.
        avatar: GLB file that is animated instead.
        audio_name: file name of the recording beside a .glb.
        live_link: write .csv as Live Link Face does, at ``fps``, instead of a table at 25.
        fps: of Live Link.

    Raises:
        OutputError: the suffix or the rate is another, a .glb has neither portrait nor avatar, or the file cannot be written.
        DataError, MissingExtraError: see :func:`animate_glb` and :func:`write_glb`.
    """
    suffix = Path(path).suffix.lower()
    if live_link and not 1 <= fps <= 240:
        raise OutputError(f"cannot write {path} at {fps} frames/s: Live Link files have 1 to 240")
    if live_link and suffix != ".csv":
        raise OutputError(f"cannot write {path}: Live Link files end in .csv")
    if suffix == ".glb":
        if avatar is not None:
            return animate_glb(avatar, path, motion)
        if portrait is None:
            raise OutputError(f"cannot write {path}: a .glb shows a head; give --image or --avatar")
        return write_glb(path, portrait, motion, audio_name)
    if suffix == ".bvh":
        return write_bvh(path, motion)
    if suffix == ".csv" and live_link:
        return write_live_link(path, motion.coefficients, fps)
    if suffix in (".csv", ".npz"):
        return motion.save(path)
    raise OutputError(f"cannot write {path}: give a name ending in .glb, .bvh, .csv or .npz")
