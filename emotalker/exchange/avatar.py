"""Animating the user's own GLB avatar that has ARKit's blendshapes as morph targets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MotionTrack
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.errors import DataError
from emotalker.exchange.gltf import BinaryBuffer, add_channel, continuous, load, pygltflib, save

#: Names of head bones: "Head", "mixamorig:Head", "J_Bip_C_Head", but not "HeadTop_End".
_HEAD = re.compile(r"(^|[^a-z])head$", re.IGNORECASE)
_BY_NAME = {name.lower(): name for name in ARKIT_BLENDSHAPES}


def arkit_name(target: str) -> str | None:
    """The blendshape that a morph target is named after, or None.

    Case does not count; a prefix up to the last point or colon, and ``_L`` and ``_R`` for the sides, are understood.
    """
    plain = re.split(r"[.:]", target)[-1]
    plain = re.sub(r"_L$", "Left", re.sub(r"_R$", "Right", plain)).replace("_", "")
    return _BY_NAME.get(plain.lower())


def animate_glb(avatar: str | os.PathLike, path: str | os.PathLike, motion: MotionTrack) -> Path:
    """Write a copy of an avatar with a motion as its animation; its other animations are removed.

    All meshes with morph targets of ARKit's names follow the blendshapes. If a bone is called head, it follows the rotation;
    the shift is left out, since avatars have necks.

    Args:
        avatar: GLB file.
        path: name ending in .glb.
        motion: of ARKIT.

    Raises:
        MissingExtraError: pygltflib is not installed.
        DataError: the avatar is no GLB file, or no mesh of it has such targets.
        OutputError: the file cannot be written.
    """
    gltf = load(avatar)
    try:
        faces = _faces(gltf)
        if not faces:
            raise DataError(f"{avatar} has no morph targets with ARKit's names, such as jawOpen; give one that has them")
        library, buffer = pygltflib(), BinaryBuffer(gltf)
        times = buffer.accessor(np.arange(len(motion.coefficients)) / motion.space.fps, limits=True)
        animation = library.Animation(name="performance")
        for node, names in faces:
            weights = np.zeros((len(motion.coefficients), len(names)), np.float32)
            for column, name in enumerate(names):
                if name is not None:
                    weights[:, column] = motion.coefficients[:, ARKIT.index(name)]
            add_channel(animation, node, "weights", times, buffer.accessor(weights.reshape(-1)))
        head = next((i for i, node in enumerate(gltf.nodes) if _HEAD.search(node.name or "") and node.mesh is None), None)
        if head is not None:
            rotations = _local_rotations(gltf, head, motion.coefficients[:, ARKIT.pose][:, :3])
            add_channel(animation, head, "rotation", times, buffer.accessor(continuous(rotations)))
        gltf.animations = [animation]
        buffer.finish()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{avatar} is damaged: {error}") from error
    return save(gltf, path)


def _faces(gltf) -> list[tuple[int, list[str | None]]]:
    """Nodes with ARKit morph targets, and the blendshape of each of their targets."""
    faces = []
    for index, node in enumerate(gltf.nodes):
        if node.mesh is None:
            continue
        mesh = gltf.meshes[node.mesh]
        targets = (mesh.extras or {}).get("targetNames") or (mesh.primitives[0].extras or {}).get("targetNames") or []
        names = [arkit_name(name) for name in targets]
        if any(names):
            faces.append((index, names))
    return faces


def _local_rotations(gltf, bone: int, angles: np.ndarray) -> np.ndarray:
    """Rotations ``(T, 4)`` of a bone relative to its parent, for rotations of the head ``(T, 3)`` about the model's axes."""
    parents = {child: index for index, node in enumerate(gltf.nodes) for child in node.children or []}
    above, parent, seen = Rotation.identity(), parents.get(bone), {bone}
    while parent is not None:
        if parent in seen:
            raise ValueError("a node is its own parent")
        seen.add(parent)
        above, parent = _rotation(gltf.nodes[parent]) * above, parents.get(parent)
    turn = Rotation.from_matrix(rotation_matrix(angles.astype(np.float64)))
    return (above.inv() * turn * above * _rotation(gltf.nodes[bone])).as_quat()


def _rotation(node) -> Rotation:
    """Rotation of a node relative to its parent, at rest."""
    if node.matrix is not None:
        axes = np.array(node.matrix, np.float64).reshape(4, 4).T[:3, :3]
        return Rotation.from_matrix(axes / np.linalg.norm(axes, axis=0))
    return Rotation.from_quat(node.rotation) if node.rotation is not None else Rotation.identity()
