"""Training examples of renderers: source, real and warped frame as pictures, and the window of motion."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch.utils.data import Dataset

from emotalker.coefficients import ARKIT
from emotalker.core.errors import DataError
from emotalker.data.renderer_frames import REACH, ClipFrames
from emotalker.render.face_box import cut
from emotalker.settings.renderer import RendererData
from emotalker.training.sampling import Key

#: Spread of the mouth's weight in half widths of the mouth, across and down.
MOUTH_SPREAD = (1.0, 0.8)


class RendererFrames(Dataset):
    """``source``, ``target``, ``warped``: ``(3, S, S)`` float32 in 0..1; ``window (W, 58)``; ``mouth (1, S, S)``, 1 at the
    mouth's centre and falling to 0 around it.

    Args:
        clips: prepared clips.
        size: S.
        window: W, odd.
        crop: cut out the square of the face; otherwise the whole frame.
        augmentation: mirror images, colours and shifts; None for none.
        limit: use this many frames at most, evenly spaced.

    Raises:
        DataError: the window is longer than the prepared ones.
    """

    def __init__(
        self,
        clips: Sequence[ClipFrames],
        size: int,
        window: int,
        crop: bool,
        augmentation: RendererData | None = None,
        limit: int | None = None,
    ):
        self.clips, self.size, self.crop, self.augmentation = clips, size, crop, augmentation
        if window > 2 * REACH + 1:
            raise DataError(f"a window of {window} frames is longer than the prepared {2 * REACH + 1}; lower its setting")
        self._window = slice(REACH - window // 2, REACH + window // 2 + 1)
        places = [(c, n) for c, clip in enumerate(clips) for n in range(len(clip))]
        if limit and len(places) > limit:
            places = [places[i] for i in np.linspace(0, len(places) - 1, limit).round().astype(int)]
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def motion(self) -> np.ndarray:
        """The motion of all frames, ``(N, 58)``."""
        return np.concatenate([clip.windows[:, REACH] for clip in self.clips])

    def __getitem__(self, key: Key) -> dict:
        rng, options = key.rng(), self.augmentation
        number, n = self._places[key.index]
        clip = self.clips[number]
        source, target, warped = (clip.picture(i) for i in (0, 1 + n, 1 + len(clip) + n))
        window, mouth = clip.windows[n, self._window], clip.mouths[n].copy()
        whole = np.array([clip.size / 2, clip.size / 2, clip.size], np.float32)
        of_source, of_frame = clip.boxes[[0, 1 + n]] if self.crop else (whole, whole)
        if options and self.crop:  # the same for both, so that their difference is the motion's
            shift = rng.uniform(-options.shift, options.shift, 3).astype(np.float32)
            of_source, of_frame = ((box + shift * box[2]) for box in (of_source, of_frame))
        pictures = [cut(source, of_source, self.size), cut(target, of_frame, self.size), cut(warped, of_frame, self.size)]
        scale = self.size / of_frame[2]
        mouth[:2] = (mouth[:2] - of_frame[:2] + of_frame[2] / 2) * scale
        weight = _bump(mouth, scale, self.size)
        if options:
            if rng.random() < options.mirror:
                pictures, weight = [picture[:, ::-1] for picture in pictures], weight[:, ::-1]
                window = ARKIT.mirrored(window)
            gain = 1 + rng.uniform(-options.colour, options.colour, 3)
            table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)[:, None]
            pictures = [cv2.LUT(np.ascontiguousarray(picture), table.transpose(1, 0, 2)) for picture in pictures]
        as_array = lambda x: np.ascontiguousarray(x.transpose(2, 0, 1), np.float32) / 255  # noqa: E731
        source, target, warped = map(as_array, pictures)
        return {
            "source": source,
            "target": target,
            "warped": warped,
            "window": np.ascontiguousarray(window, np.float32),
            "mouth": np.ascontiguousarray(weight[None], np.float32),
        }


def _bump(mouth: np.ndarray, scale: float, size: int) -> np.ndarray:
    """A Gaussian ``(size, size)`` at the mouth ``(3,)``: centre in pixels of the crop, half width in pixels of the frame."""
    y, x = np.mgrid[:size, :size] + 0.5
    reach = mouth[2] * scale
    return np.exp(
        -0.5 * (((x - mouth[0]) / (MOUTH_SPREAD[0] * reach)) ** 2 + ((y - mouth[1]) / (MOUTH_SPREAD[1] * reach)) ** 2)
    )
