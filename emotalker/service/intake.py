"""What is accepted of files that clients sent: looked at in a worker process, with memory bounded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from emotalker.core.errors import AudioError, EmoTalkerError, ImageError

#: FFmpeg's names of the containers that are read. Playlists and scripts, which name further files, are not among them.
AUDIO_FORMATS = "aac,ac3,aiff,amr,au,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpegts,ogg,w64,wav,wv,asf,avi,ape,tta"
#: Pillow's names of the pictures that are read.
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")


def audio_seconds(path: Path, longest: float) -> float:
    """Length of a recording in seconds, counted while it is decoded, without keeping it.

    Raises:
        AudioError: it is of none of AUDIO_FORMATS, has no sound, is damaged, or is longer than ``longest``.
    """
    import av
    from av.error import FFmpegError, InvalidDataError

    count, rate = 0.0, 1
    try:
        with av.open(str(path.absolute()), options={"format_whitelist": AUDIO_FORMATS}, metadata_errors="replace") as file:
            if not file.streams.audio:
                raise AudioError("the audio contains no sound; give a recording or a video with sound")
            stream = file.streams.audio[0]
            for packet in file.demux(stream):
                try:
                    frames = packet.decode()
                except InvalidDataError:
                    continue  # load_audio decides how much damage is too much
                for frame in frames:
                    rate = frame.sample_rate or rate
                    count += frame.samples / rate
                if count > longest:
                    raise AudioError(f"the audio is longer than {longest:g} s; cut it into shorter recordings")
    except (FFmpegError, ValueError) as error:
        raise AudioError("the audio cannot be decoded; send WAV, FLAC, MP3, M4A, Ogg or WebM") from error
    return count


def check_picture(path: Path, most: int) -> tuple[int, int]:
    """Width and height of a picture, by its header.

    Raises:
        ImageError: it is of none of PICTURE_FORMATS, is damaged, or has more than ``most`` pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=PICTURE_FORMATS) as header:
            width, height = header.size
    except Image.DecompressionBombError:
        width = height = most + 1
    except Exception as error:  # Pillow raises errors of many kinds for damaged files
        raise ImageError("the image cannot be read; send PNG, JPEG or WebP") from error
    if width * height > most:
        raise ImageError(f"the image has more than {most // 1_000_000} megapixels; scale it down")
    return width, height


class Inspector:
    """The engine of the process that looks at uploads."""

    def load(self) -> None:
        """The decoders."""
        import av  # noqa: F401 - so that the first upload does not wait for it
        from PIL import Image

        Image.init()

    def run(self, job: dict[str, Any], report: object) -> dict[str, Any]:
        """Look at the files of ``audio`` and ``image``, either of which may be absent; returns ``seconds`` of the audio."""
        seconds = 0.0
        if "image" in job:
            check_picture(Path(job["image"]), job["max_pixels"])
        if "audio" in job:
            seconds = audio_seconds(Path(job["audio"]), job["max_seconds"])
        return {"seconds": seconds}

    def stream(self, start: dict[str, Any], pipe: object) -> str:
        raise EmoTalkerError("this process only looks at files")
