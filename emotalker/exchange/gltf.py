"""GLB files (glTF 2.0): a person's animated head with ARKit's 52 blendshapes as morph targets, textured from the portrait.

Units are glTF's: metres, y up, the face towards +z, rotations as quaternions. The format has no sound; the recording lies
beside the file, and ``asset.extras.audio`` names it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MotionTrack
from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.coefficients.table import on_grid
from emotalker.core.errors import DataError, MissingExtraError
from emotalker.core.files import replace_on_success
from emotalker.face.geometry import vertex_normals
from emotalker.face.portrait import Portrait
from emotalker.face.texture import HEAD_PARTS, eye_textures, head_texture

if TYPE_CHECKING:
    from pygltflib import GLTF2

#: Centimetres to metres.
METRES = 0.01
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_FLOAT, _UINT16 = 5126, 5123
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_MAX_BYTES = 1 << 30


def pygltflib():
    """The library for glTF; MissingExtraError without it."""
    try:
        import pygltflib
    except ImportError as error:
        raise MissingExtraError("GLB files need pygltflib; install it with: pip install 'emotalker[gltf]'") from error
    return pygltflib


class BinaryBuffer:
    """Collects arrays as buffer views and accessors of one glTF buffer.

    Args:
        gltf: the document; what is added goes behind its present buffer.
    """

    def __init__(self, gltf: GLTF2):
        self._gltf = gltf
        self._data = bytearray(gltf.binary_blob() or b"") if gltf.buffers else bytearray()

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes; returns the index of their view."""
        library = pygltflib()
        self._data += b"\0" * (-len(self._data) % 4)
        view = library.BufferView(buffer=0, byteOffset=len(self._data), byteLength=len(data), target=target)
        self._data += data
        self._gltf.bufferViews.append(view)
        return len(self._gltf.bufferViews) - 1

    def accessor(self, values: np.ndarray, target: int | None = None, limits: bool = False) -> int:
        """Append numbers ``(N,)`` or ``(N, C)`` as float32, or uint16 if integers; returns the accessor's index."""
        library = pygltflib()
        integer = np.issubdtype(values.dtype, np.integer)
        values = np.ascontiguousarray(values, np.uint16 if integer else np.float32)
        table = values.reshape(len(values), -1)
        zeros = not integer and not values.any()  # an accessor without view is all zeros
        accessor = library.Accessor(
            bufferView=None if zeros else self.view(values.tobytes(), target),
            byteOffset=None if zeros else 0,
            componentType=_UINT16 if integer else _FLOAT,
            count=len(values),
            type=_TYPES[table.shape[1]],
            min=table.min(0).tolist() if limits else None,
            max=table.max(0).tolist() if limits else None,
        )
        self._gltf.accessors.append(accessor)
        return len(self._gltf.accessors) - 1

    def image(self, picture: np.ndarray) -> int:
        """Append a picture ``(H, W, 3)`` uint8 RGB as JPEG with a texture; returns the texture's index."""
        library = pygltflib()
        data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()
        self._gltf.images.append(library.Image(bufferView=self.view(data), mimeType="image/jpeg"))
        self._gltf.textures.append(library.Texture(source=len(self._gltf.images) - 1, sampler=0))
        return len(self._gltf.textures) - 1

    def finish(self) -> None:
        """Store the buffer in the document."""
        self._data += b"\0" * (-len(self._data) % 4)
        self._gltf.buffers = [pygltflib().Buffer(byteLength=len(self._data))]
        self._gltf.set_binary_blob(bytes(self._data))


def write_glb(path: str | os.PathLike, portrait: Portrait, motion: MotionTrack, audio_name: str | None = None) -> Path:
    """Write the head of a portrait with its motion.

    The mesh is the fitted head at rest, so that a motion of zeros is the face at rest; weights are the motion's blendshapes,
    and the node ``head`` rotates and moves about the point between the eyes.

    Args:
        path: name ending in .glb.
        portrait: the person.
        motion: of ARKIT.
        audio_name: file name of the recording beside the file.

    Raises:
        MissingExtraError: pygltflib is not installed.
        OutputError: the file cannot be written.
        ValueError: the motion is of another space.
    """
    if motion.space != ARKIT:
        raise ValueError(f"GLB files take {ARKIT.name} motion, not {motion.space.name}")
    library = pygltflib()
    gltf = library.GLTF2()
    gltf.asset = library.Asset(version="2.0", generator="EmoTalker", extras={"audio": audio_name} if audio_name else {})
    gltf.samplers.append(library.Sampler(magFilter=9729, minFilter=9987))
    buffer = BinaryBuffer(gltf)
    mesh = _mesh(gltf, buffer, portrait)
    gltf.meshes.append(mesh)
    gltf.nodes.append(library.Node(name="head", mesh=0))
    gltf.scenes.append(library.Scene(nodes=[0]))
    gltf.scene = 0
    times = buffer.accessor(np.arange(len(motion.coefficients)) / motion.space.fps, limits=True)
    animation = library.Animation(name="performance")
    add_channel(animation, 0, "weights", times, buffer.accessor(motion.coefficients[:, ARKIT.expression].reshape(-1)))
    pose = motion.coefficients[:, ARKIT.pose].astype(np.float64)
    quaternions = Rotation.from_matrix(rotation_matrix(pose[:, :3])).as_quat()
    add_channel(animation, 0, "rotation", times, buffer.accessor(continuous(quaternions)))
    add_channel(animation, 0, "translation", times, buffer.accessor(pose[:, 3:] * METRES))
    gltf.animations.append(animation)
    buffer.finish()
    return save(gltf, path)


def _mesh(gltf: GLTF2, buffer: BinaryBuffer, portrait: Portrait):
    """The mesh of three primitives, head and both eyes, with 52 morph targets; adds its materials."""
    library, model = pygltflib(), portrait.model
    at_rest = model.deform(portrait.fit.identity, portrait.fit.blendshapes[0] - portrait.removed)
    normals = vertex_normals(at_rest, model.triangles)
    left, right = eye_textures(portrait)
    parts = (
        ("head", np.concatenate([model.parts[name] for name in HEAD_PARTS]), head_texture(portrait), 0.7),
        ("left_eye", model.parts["left_eye"], left, 0.2),
        ("right_eye", model.parts["right_eye"], right, 0.2),
    )
    primitives = []
    for name, triangles, texture, roughness in parts:
        corners = np.concatenate([model.triangles[triangles][..., None], model.uv[triangles]], -1).reshape(-1, 3)
        unique, indices = np.unique(corners, axis=0, return_inverse=True)
        vertices, uv = unique[:, 0].astype(int), unique[:, 1:] * [1, -1] + [0, 1]  # glTF's v points down
        attributes = library.Attributes(
            POSITION=buffer.accessor(at_rest[vertices] * METRES, _ARRAY_BUFFER, limits=True),
            NORMAL=buffer.accessor(normals[vertices], _ARRAY_BUFFER),
            TEXCOORD_0=buffer.accessor(uv, _ARRAY_BUFFER),
        )
        targets = [
            {"POSITION": buffer.accessor(moved[vertices] * METRES, _ARRAY_BUFFER, limits=True)}
            for moved in model.blendshape_basis
        ]
        surface = library.PbrMetallicRoughness(
            baseColorTexture=library.TextureInfo(index=buffer.image(texture)), metallicFactor=0.0, roughnessFactor=roughness
        )
        gltf.materials.append(library.Material(name=name, pbrMetallicRoughness=surface))
        primitives.append(
            library.Primitive(
                attributes=attributes,
                indices=buffer.accessor(indices.reshape(-1), _ELEMENT_BUFFER),
                material=len(gltf.materials) - 1,
                targets=targets,
            )
        )
    weights = [0.0] * len(ARKIT_BLENDSHAPES)
    return library.Mesh(name="head", primitives=primitives, weights=weights, extras={"targetNames": list(ARKIT_BLENDSHAPES)})


def add_channel(animation, node: int, target: str, times: int, values: int) -> None:
    """Add a linearly interpolated channel of accessors ``times`` and ``values`` for a node's property to an animation."""
    library = pygltflib()
    animation.samplers.append(library.AnimationSampler(input=times, output=values, interpolation="LINEAR"))
    channel = library.AnimationChannel(
        sampler=len(animation.samplers) - 1, target=library.AnimationChannelTarget(node=node, path=target)
    )
    animation.channels.append(channel)


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions ``(T, 4)`` with signs such that neighbours interpolate the short way."""
    flips = np.cumprod(np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1, 1))
    return np.concatenate([quaternions[:1], quaternions[1:] * flips[:, None]])


def save(gltf: GLTF2, path: str | os.PathLike) -> Path:
    """Write a document as .glb; OutputError if that fails."""
    with replace_on_success(path) as temporary:
        gltf.save_binary(str(temporary))
    return Path(path)


def load(path: str | os.PathLike) -> GLTF2:
    """Read a .glb; DataError if it is none."""
    library, path = pygltflib(), Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        gltf = library.GLTF2().load_binary(str(path))
        if gltf is None or gltf.asset is None or not str(gltf.asset.version).startswith("2"):
            raise ValueError("it is not of version 2")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except DataError:
        raise
    except Exception as error:  # the library raises whatever its JSON parser and structures raise
        raise DataError(f"{path} is no GLB file: {str(error).splitlines()[0] if str(error) else error!r}") from error
    return gltf


def accessor_values(gltf: GLTF2, index: int) -> np.ndarray:
    """Finite numbers ``(N, C)`` float32 of an accessor of floats; ValueError if they are others or outside the file."""
    accessor = gltf.accessors[index]
    columns = next(c for c, name in _TYPES.items() if name == accessor.type)
    count = accessor.count * columns
    if not 0 <= 4 * count <= _MAX_BYTES:
        raise ValueError(f"it has {count} numbers")
    if accessor.bufferView is None:
        return np.zeros((accessor.count, columns), np.float32)
    view = gltf.bufferViews[accessor.bufferView]
    if accessor.componentType != _FLOAT or view.byteStride not in (None, 4 * columns):
        raise ValueError("its animation is not in plain 32-bit numbers")
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    if start < 0:
        raise ValueError("it begins before the file's data")
    values = np.frombuffer(gltf.binary_blob()[start : start + 4 * count], "<f4", count)
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    return values.reshape(accessor.count, columns)


def read_glb_motion(path: str | os.PathLike) -> MotionTrack:
    """The first animation of ARKit blendshapes in a .glb, with the rotation and translation of the same node.

    Raises:
        MissingExtraError: pygltflib is not installed.
        DataError: the file is none, or has no such animation.
    """
    gltf = load(path)
    try:
        for animation in gltf.animations:
            for channel in animation.channels:
                if channel.target.path == "weights":
                    return _motion(path, gltf, animation, channel)
    except (AttributeError, IndexError, KeyError, OverflowError, StopIteration, TypeError, ValueError) as error:
        raise DataError(f"{path} has an animation that cannot be read: {error}") from error
    raise DataError(f"{path} has no animation of blendshapes")


def _motion(path: str | os.PathLike, gltf: GLTF2, animation, channel) -> MotionTrack:
    names = (gltf.meshes[gltf.nodes[channel.target.node].mesh].extras or {})["targetNames"]
    sampler = animation.samplers[channel.sampler]
    times = accessor_values(gltf, sampler.input)[:, 0].astype(np.float64)
    weights = accessor_values(gltf, sampler.output).reshape(len(times), len(names))
    motion = np.zeros((len(times), ARKIT.dim))
    for column, name in enumerate(names):
        if name in ARKIT_BLENDSHAPES:
            motion[:, ARKIT.index(name)] = weights[:, column]
    for other in animation.channels:
        if other.target.node != channel.target.node or animation.samplers[other.sampler].input != sampler.input:
            continue
        values = accessor_values(gltf, animation.samplers[other.sampler].output).astype(np.float64)
        if other.target.path == "rotation":
            motion[:, ARKIT.pose][:, :3] = rotation_angles(Rotation.from_quat(values).as_matrix())
        elif other.target.path == "translation":
            motion[:, ARKIT.pose][:, 3:] = values / METRES
    return MotionTrack(on_grid(path, times, motion, ARKIT), ARKIT)
