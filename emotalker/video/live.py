"""Where the frames of a live voice go: a window, a pipe, or a virtual camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np

from emotalker.core.errors import EmoTalkerError, MissingExtraError, OutputError

#: Shows one frame ``(S, S, 3)`` uint8 RGB with its samples ``(N,)``. False: the viewer is gone.
Show = Callable[[np.ndarray, np.ndarray], bool]


@contextmanager
def raw_frames(file: BinaryIO) -> Iterator[Show]:
    """Raw RGB frames, 3 bytes a pixel, without sound, e.g. for ``ffmpeg -f rawvideo -pix_fmt rgb24``."""

    def show(image: np.ndarray, audio: np.ndarray) -> bool:
        try:
            file.write(np.ascontiguousarray(image).data)
            file.flush()
        except BrokenPipeError:
            return False
        return True

    yield show


@contextmanager
def mpegts(file: BinaryIO, size: int, fps: int, rate: int) -> Iterator[Show]:
    """H.264 and AAC in an MPEG transport stream without delay, e.g. for ``ffplay -`` or a media source of OBS."""
    container = av.open(_Pipe(file), "w", format="mpegts", options={"flush_packets": "1"})
    video = container.add_stream(
        "libx264", rate=fps, options={"preset": "ultrafast", "tune": "zerolatency", "g": str(2 * fps)}
    )
    video.width = video.height = size
    video.pix_fmt = "yuv420p"
    sound = container.add_stream("aac", rate=rate, layout="mono")
    frames = samples = 0

    def show(image: np.ndarray, audio: np.ndarray) -> bool:
        nonlocal frames, samples
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture.pts, picture.time_base = frames, Fraction(1, fps)
        part = av.AudioFrame.from_ndarray(audio.astype(np.float32)[None], format="fltp", layout="mono")
        part.sample_rate, part.pts, part.time_base = rate, samples, Fraction(1, rate)
        frames, samples = frames + 1, samples + len(audio)
        try:
            container.mux(video.encode(picture))
            container.mux(sound.encode(part))
        except (BrokenPipeError, av.error.FFmpegError):
            return False
        return True

    try:
        yield show
    finally:
        try:
            container.mux([*video.encode(None), *sound.encode(None)])
            container.close()
        except (BrokenPipeError, av.error.FFmpegError):
            pass  # the reader left first


class _Pipe:
    """A pipe that PyAV writes to; it may not seek."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def write(self, data: bytes) -> int:
        self.file.write(data)
        self.file.flush()
        return len(data)


@contextmanager
def window(size: int) -> Iterator[Show]:
    """A window on the desktop, without sound.

    Raises:
        OutputError: there is no Tk or no display.
    """
    try:
        import tkinter

        root = tkinter.Tk()
    except (ImportError, RuntimeError) as error:
        raise OutputError(f"cannot open a window: {error}; install python3-tk, or write --to mpegts | ffplay -") from error
    except Exception as error:  # TclError, whose module may be missing
        raise OutputError(f"cannot open a window: {error}; set DISPLAY, or write --to mpegts | ffplay -") from error
    root.title("EmoTalker")
    root.resizable(False, False)
    open_ = True

    def close() -> None:
        nonlocal open_
        open_ = False

    root.protocol("WM_DELETE_WINDOW", close)
    label = tkinter.Label(root, borderwidth=0)
    label.pack()
    header = f"P6 {size} {size} 255 ".encode()

    def show(image: np.ndarray, audio: np.ndarray) -> bool:
        if open_:
            label.picture = tkinter.PhotoImage(data=header + image.tobytes(), format="PPM")  # kept, or Tk would show nothing
            label.configure(image=label.picture)
            root.update()
        return open_

    try:
        yield show
    finally:
        root.destroy()


@contextmanager
def virtual_camera(size: int, fps: int) -> Iterator[Show]:
    """A camera that video calls can choose, without sound.

    Raises:
        MissingExtraError: pyvirtualcam is not installed.
        OutputError: the system has no virtual camera.
    """
    try:
        import pyvirtualcam
    except ImportError as error:
        raise MissingExtraError("the virtual camera needs pyvirtualcam; run: pip install 'emotalker[live]'") from error
    try:
        camera = pyvirtualcam.Camera(size, size, fps)
    except RuntimeError as error:
        raise OutputError(
            f"there is no virtual camera: {str(error).strip()}; on Linux run: sudo modprobe v4l2loopback, "
            "elsewhere install OBS"
        ) from error

    def show(image: np.ndarray, audio: np.ndarray) -> bool:
        camera.send(np.ascontiguousarray(image))
        return True

    with camera:
        yield show


#: Names of :func:`output`.
OUTPUTS = ("window", "mpegts", "raw", "camera")


def output(name: str, file: BinaryIO, size: int, fps: int, rate: int) -> AbstractContextManager[Show]:
    """An output by its name in OUTPUTS; ``file`` is written to by mpegts and raw.

    Raises:
        EmoTalkerError: the name is unknown.
    """
    makers: dict[str, Callable[[], AbstractContextManager[Show]]] = {
        "window": lambda: window(size),
        "mpegts": lambda: mpegts(file, size, fps, rate),
        "raw": lambda: raw_frames(file),
        "camera": lambda: virtual_camera(size, fps),
    }
    if name not in makers:
        raise EmoTalkerError(f"unknown output {name!r}; known: {', '.join(OUTPUTS)}")
    return makers[name]()


def paced(frames: Iterable, fps: float, clock: Callable[[], float] = time.monotonic, sleep=time.sleep) -> Iterator:
    """The same frames, 1 / fps seconds apart: frames that are ready together are not shown together.

    A frame that is late is not waited for; those after it follow at 0.9 / fps until they have caught up.
    """
    due = -np.inf
    for frame in frames:
        now = clock()
        if now < due:
            sleep(due - now)
        due = max(due + 1 / fps, clock() + 0.9 / fps)
        yield frame
