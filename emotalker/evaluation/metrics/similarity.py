"""SSIM and PSNR of two pictures."""

from __future__ import annotations

import cv2
import numpy as np

#: Gaussian window of Wang et al. (2004): 11 x 11 pixels, standard deviation 1.5; K1 and K2 of the same paper.
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
MAX_PSNR = 60.0  # dB, of equal pictures


def ssim(frame: np.ndarray, target: np.ndarray, border: bool = False) -> float:
    """Structural similarity (Wang et al. 2004), mean over colour channels.

    Equals scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``.

    Args:
        frame, target: ``(H, W, C)`` uint8, more than 11 pixels on either side.
        border: also count the border of half a window, where the pictures are mirrored, as torchmetrics does.
    """
    a, b = frame.astype(np.float64), target.astype(np.float64)

    def local_mean(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA)

    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    index = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    rim = WINDOW // 2
    return float((index if border else index[rim:-rim, rim:-rim]).mean())


def psnr(frame: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of pictures ``(H, W, C)`` uint8, at most MAX_PSNR."""
    error = float(np.square(frame.astype(np.float64) - target).mean())
    return MAX_PSNR if error == 0 else min(float(10 * np.log10(255**2 / error)), MAX_PSNR)
