"""The paper's coefficients: Deep3DFaceRecon's parameters of the Basel Face Model (Deng et al. 2019; docs/method.md 2).

A reconstruction is a vector of 257 entries: identity 80, expression 64, texture 80, Euler angles 3, lighting 27, translation
3. Motion consists of 70 of them: expression, angles (radians), translation (the model's units, about 10 cm).
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients.space import BFM
from emotalker.core.errors import DataError

#: Slices of the parts.
PARTS = {
    "identity": slice(0, 80), "expression": slice(80, 144), "texture": slice(144, 224), "angles": slice(224, 227),
    "lighting": slice(227, 254), "translation": slice(254, 257),
}  # fmt: skip
LENGTH = 257


@dataclass(frozen=True)
class Reconstruction:
    """The parts of T vectors, each ``(T, ...)`` float32: identity 80, expression 64, texture 80, angles 3 (radians about x,
    y, z), lighting 27, translation 3."""

    identity: np.ndarray
    expression: np.ndarray
    texture: np.ndarray
    angles: np.ndarray
    lighting: np.ndarray
    translation: np.ndarray

    @classmethod
    def from_vectors(cls, vectors: np.ndarray) -> Reconstruction:
        """Split ``(T, 257)``; ValueError for another shape."""
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != LENGTH:
            raise ValueError(f"a reconstruction is (T, {LENGTH}), not {vectors.shape}")
        return cls(**{name: vectors[:, part] for name, part in PARTS.items()})

    @property
    def motion(self) -> np.ndarray:
        """``(T, 70)`` in the space :data:`~emotalker.coefficients.space.BFM`."""
        return np.concatenate([self.expression, self.angles, self.translation], 1)


def read_bfm_mat(path: str | os.PathLike) -> Reconstruction:
    """Read a MATLAB file's ``coeff (T, 257)``, or ``coeff_3dmm (T, 70...)`` (expression, angles, translation, crop).

    Raises:
        DataError: the file contains neither or cannot be read.
    """
    try:
        contents = _matlab(path)
        if "coeff" in contents:
            return Reconstruction.from_vectors(contents["coeff"])
        motion = np.asarray(contents["coeff_3dmm"], np.float32)
        if motion.ndim != 2 or motion.shape[1] < BFM.dim:
            raise ValueError(f"coeff_3dmm is {motion.shape}")
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} contains no 3DMM coefficients, coeff (T, {LENGTH}) ({error})") from error
    vectors = np.zeros((len(motion), LENGTH), np.float32)
    vectors[:, PARTS["expression"]] = motion[:, :64]
    vectors[:, PARTS["angles"]], vectors[:, PARTS["translation"]] = motion[:, 64:67], motion[:, 67:70]
    return Reconstruction.from_vectors(vectors)


def _matlab(path: str | os.PathLike) -> dict:
    """Arrays of a MATLAB file; OSError if it is missing, ValueError if it is not a MATLAB file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with open(path, "rb") as file:  # loadmat raises a misleading error for a missing path
        try:
            return loadmat(file)
        except (MatReadError, NotImplementedError, TypeError, zlib.error) as error:
            raise ValueError(f"not a MATLAB file of version 7 or older: {error}") from error
