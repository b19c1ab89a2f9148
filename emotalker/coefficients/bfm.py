"""The paper's coefficients: the Basel Face Model as Deep3DFaceRecon uses it (Deng et al. 2019; docs/method.md 2).

A reconstruction is a vector of 257: identity 80, expression 64, texture 80, Euler angles 3, lighting 27, translation 3.
Motion is 70 of them: expression, angles (radians), translation (the model's units, about 10 cm). Corpora in this space are
prepared and trained on like any other; the model itself may not be redistributed, so its user brings it.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.coefficients.space import BFM
from emotalker.core.errors import CheckpointError, DataError

#: Where each part lies in the 257.
PARTS = {
    "identity": slice(0, 80), "expression": slice(80, 144), "texture": slice(144, 224), "angles": slice(224, 227),
    "lighting": slice(227, 254), "translation": slice(254, 257),
}  # fmt: skip
LENGTH = 257
FOCAL, CENTRE, CAMERA_DISTANCE = 1015.0, 112.0, 10.0
FRONT_MODEL = "BFM_model_front.mat"
BASEL_MODEL, EXPRESSIONS, FRONT_INDEX = "01_MorphableModel.mat", "Exp_Pca.bin", "BFM_front_idx.mat"
EXPRESSION_INDEX, FACE_INDEX = "BFM_exp_idx.mat", "facemodel_info.mat"
WHERE = (
    "request the Basel Face Model 2009 (01_MorphableModel.mat) at https://faces.dmi.unibas.ch/bfm/ and take Exp_Pca.bin, "
    "std_exp.txt and the index files as the Deep3DFaceRecon project says, or give the BFM_model_front.mat made from them"
)


@dataclass(frozen=True)
class Reconstruction:
    """Per frame the parts of the 257, each ``(T, ...)`` float32: identity 80, expression 64, texture 80, angles 3 (radians
    about x, y, z), lighting 27, translation 3."""

    identity: np.ndarray
    expression: np.ndarray
    texture: np.ndarray
    angles: np.ndarray
    lighting: np.ndarray
    translation: np.ndarray

    @classmethod
    def from_vectors(cls, vectors: np.ndarray) -> Reconstruction:
        """From ``(T, 257)``; ValueError if they are of another length."""
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != LENGTH:
            raise ValueError(f"a reconstruction is (T, {LENGTH}), not {vectors.shape}")
        return cls(**{name: vectors[:, part] for name, part in PARTS.items()})

    @property
    def motion(self) -> np.ndarray:
        """``(T, 70)`` in the space :data:`~emotalker.coefficients.space.BFM`."""
        return np.concatenate([self.expression, self.angles, self.translation], 1)


def read_bfm_mat(path: str | os.PathLike) -> Reconstruction:
    """Read a MATLAB file's ``coeff (T, 257)``, or ``coeff_3dmm (T, 70...)``: expression, angles, translation, crop.

    Raises:
        DataError: the file holds neither.
    """
    try:
        contents = _matlab(path)
        if "coeff" in contents:
            return Reconstruction.from_vectors(contents["coeff"])
        motion = np.asarray(contents["coeff_3dmm"], np.float32)
        if motion.ndim != 2 or motion.shape[1] < BFM.dim:
            raise ValueError(f"coeff_3dmm is {motion.shape}")
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} holds no 3DMM coefficients, coeff (T, {LENGTH}) ({error})") from error
    vectors = np.zeros((len(motion), LENGTH), np.float32)
    vectors[:, PARTS["expression"]] = motion[:, :64]
    vectors[:, PARTS["angles"]], vectors[:, PARTS["translation"]] = motion[:, 64:67], motion[:, 67:70]
    return Reconstruction.from_vectors(vectors)


def bfm_rotation(angles: np.ndarray) -> np.ndarray:
    """Angles ``(..., 3)`` to ``(..., 3, 3)``, ``(Rz Ry Rx)^T``: Deep3DFaceRecon turns row vectors, ``v @ R``."""
    from emotalker.coefficients.rotation import rotation_matrix

    return np.swapaxes(rotation_matrix(angles), -1, -2)


@dataclass(frozen=True)
class BFMModel:
    """The user's Basel Face Model: shape = mean + identity + expression, in units of about 10 cm.

    Attributes:
        mean: ``(V, 3)``.
        identity_basis: ``(80, V, 3)``.
        expression_basis: ``(64, V, 3)``.
        triangles: ``(F, 3)`` int32, or ``(0, 3)`` where the file names none.
        landmarks: ``(68,)`` vertex indices, or empty.
    """

    mean: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def load(cls, folder: str | os.PathLike) -> BFMModel:
        """Read ``BFM_model_front.mat``, or make the same of ``01_MorphableModel.mat`` and ``Exp_Pca.bin``.

        Raises:
            CheckpointError: the files are missing, and where to get them; or they are damaged.
        """
        folder = Path(folder)
        try:
            if (folder / FRONT_MODEL).exists():
                return _load_front(folder / FRONT_MODEL)
            if (folder / BASEL_MODEL).exists():
                return _load_basel(folder)
        except (OSError, KeyError, ValueError, IndexError) as error:
            raise CheckpointError(f"the Basel Face Model in {folder} cannot be read ({error}); {WHERE}") from error
        raise CheckpointError(f"no Basel Face Model in {folder}: {WHERE}")

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices ``(..., V, 3)`` without pose from ``(..., 80)`` and ``(..., 64)``."""
        shape = self.mean + np.tensordot(np.asarray(identity, np.float32), self.identity_basis, 1)
        return shape + np.tensordot(np.asarray(expression, np.float32), self.expression_basis, 1)

    def project(self, vertices: np.ndarray, angles: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """Vertices ``(..., V, 3)`` as pixels ``(..., V, 2)`` of the 224x224 crop, x right, y down."""
        placed = vertices @ bfm_rotation(np.asarray(angles, np.float32)) + np.asarray(translation)[..., None, :]
        depth = CAMERA_DISTANCE - placed[..., 2]
        return np.stack([CENTRE + FOCAL * placed[..., 0] / depth, 224 - CENTRE - FOCAL * placed[..., 1] / depth], -1)


def _matlab(path: str | os.PathLike) -> dict:
    """A MATLAB file's arrays; OSError if it is not there, ValueError if it is something else."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with open(path, "rb") as file:  # given a missing name, loadmat says that it needs a name
        try:
            return loadmat(file)
        except (MatReadError, NotImplementedError, TypeError, zlib.error) as error:
            raise ValueError(f"no MATLAB file of version 7 or older: {error}") from error


def _load_front(path: Path) -> BFMModel:
    file = _matlab(path)
    mean = file["meanshape"].reshape(-1, 3).astype(np.float32)
    triangles = np.asarray(file.get("tri", np.zeros((0, 3)))).astype(np.int32)
    landmarks = np.asarray(file.get("keypoints", np.zeros(0))).astype(np.int64).ravel()
    return BFMModel(
        mean - mean.mean(0),  # Deep3DFaceRecon centres the mean shape
        _basis(file["idBase"], len(mean), 80),
        _basis(file["exBase"], len(mean), 64),
        triangles - 1 if len(triangles) else triangles,
        landmarks - 1 if len(landmarks) else landmarks,
    )


def _load_basel(folder: Path) -> BFMModel:
    """Deep3DFaceRecon's preparation: standard deviations multiplied in, micrometres to decimetres, the front of the face."""
    basel = _matlab(folder / BASEL_MODEL)
    mean = basel["shapeMU"].reshape(-1, 3).astype(np.float32)
    identity = (basel["shapePC"] * basel["shapeEV"].ravel())[:, :80]
    count = np.fromfile(folder / EXPRESSIONS, np.int32, 1)[0]
    stored = np.fromfile(folder / EXPRESSIONS, np.float32, offset=4).reshape(count + 1, -1)  # the mean, then the basis
    basis = stored[1:].T
    deviation = np.loadtxt(folder / "std_exp.txt").ravel()
    expression = (basis * deviation[:count])[:, :64]

    kept = np.asarray(_matlab(folder / EXPRESSION_INDEX)["trimIndex"]).ravel().astype(np.int64) - 1
    front = np.asarray(_matlab(folder / FRONT_INDEX)["idx"]).ravel().astype(np.int64) - 1
    info = _matlab(folder / FACE_INDEX)
    mean = mean[kept][front] / 1e5
    identity = _basis(identity, -1, 80)[:, kept][:, front] / 1e5
    expression = _basis(expression, -1, 64)[:, front] / 1e5
    triangles = np.asarray(info["tri"]).astype(np.int32) - 1
    return BFMModel(
        mean - mean.mean(0), identity, expression, triangles, np.asarray(info["keypoints"]).astype(np.int64).ravel() - 1
    )


def _basis(columns: np.ndarray, vertices: int, count: int) -> np.ndarray:
    """``(3 V, K)`` to ``(K, V, 3)``; ValueError if there are not ``count`` columns."""
    if columns.shape[1] != count:
        raise ValueError(f"a basis has {columns.shape[1]} vectors instead of {count}")
    return np.ascontiguousarray(columns.T.reshape(count, vertices, 3), np.float32)
