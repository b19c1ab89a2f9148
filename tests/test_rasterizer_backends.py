"""PyTorch3D as a rasteriser, with a stand-in that has its documented screen: x to the left, y up, -1..1 on the short side."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.errors import MissingExtraError
from emotalker.face.model import FaceModel
from emotalker.face.rasterizer import rasterize
from emotalker.render.mesh_renderer import Head, MeshRenderer


@pytest.fixture()
def pytorch3d(monkeypatch):
    calls = []

    def rasterize_meshes(mesh, image_size, blur_radius, faces_per_pixel, perspective_correct, cull_backfaces):
        assert (blur_radius, faces_per_pixel, perspective_correct) == (0.0, 1, True)
        height, width = image_size
        x, y, depth = mesh.vertices[0].unbind(-1)
        half = min(height, width) / 2
        pixels = torch.stack([width / 2 - half * x, height / 2 - half * y, depth], 1)
        found, weights = rasterize(pixels, mesh.faces[0], height, width, cull_backfaces, backend="torch")
        calls.append(len(mesh.faces[0]))
        return found[None, ..., None], None, torch.where(found[..., None] >= 0, weights, -1.0)[None, :, :, None], None

    names = ("pytorch3d", "pytorch3d.renderer", "pytorch3d.renderer.mesh", "pytorch3d.structures")
    modules = {name: ModuleType(name) for name in names}
    modules["pytorch3d.renderer.mesh"].rasterize_meshes = rasterize_meshes
    modules["pytorch3d.structures"].Meshes = lambda vertices, faces: SimpleNamespace(vertices=vertices, faces=faces)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.mark.parametrize("cull", [False, True])
def test_both_rasterisers_agree(pytorch3d, cull):
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(30, 3, generator=generator) * torch.tensor([60.0, 40, 9]) + torch.tensor([0.0, 0, -1])
    triangles = torch.randint(0, 30, (20, 3), generator=generator)
    expected = rasterize(vertices, triangles, 40, 60, cull)
    made = rasterize(vertices, triangles, 40, 60, cull, backend="pytorch3d")
    assert torch.equal(made[0], expected[0]) and torch.allclose(made[1], expected[1], atol=1e-3)
    assert (expected[0] >= 0).any() and pytorch3d == [int((vertices[triangles][..., 2] > 0).all(1).sum())]


def test_nothing_in_front_of_the_camera_is_nothing(pytorch3d):
    square, triangles = torch.tensor([[0.0, 0, -1], [9, 0, -1], [0, 9, -1]]), torch.tensor([[0, 1, 2]])
    found, weights = rasterize(square, triangles, 8, 8, backend="pytorch3d")
    assert (found == -1).all() and (weights == 0).all()


def test_a_missing_pytorch3d_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        rasterize(torch.ones(3, 3), torch.tensor([[0, 1, 2]]), 4, 4, backend="pytorch3d")


def head(textured: bool) -> Head:
    average = Head.average(FaceModel.load())
    if not textured:
        return average
    waves = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    return Head(average.rest, tuple(waves), average.model)


def same_picture(backend: str, textured: bool) -> None:
    """The 3-D head of ``backend`` is that of the compiled loop but for pixels on edges."""
    motion = np.zeros((1, ARKIT.dim), np.float32)
    motion[0, ARKIT.indices(["yaw", "jawOpen", "eyeBlinkLeft"])] = 0.4, 0.6, 0.5
    shown = head(textured)
    (expected,), (made,) = (list(MeshRenderer(shown, 96, b).render(motion)) for b in ("numba", backend))
    difference = np.abs(expected.astype(int) - made)
    assert np.ptp(expected.astype(int)) > 100 and difference.mean() < 0.1
    assert (difference.max(-1) > 3).mean() < 0.01


@pytest.mark.parametrize("textured", [False, True])
def test_the_3d_head_is_the_same_with_tensors(textured):
    same_picture("torch", textured)


def test_the_3d_head_is_drawn_with_pytorch3d(pytorch3d):
    same_picture("pytorch3d", textured=True)
    assert len(pytorch3d) == 1


def test_the_3d_head_is_the_same_with_the_real_pytorch3d():
    pytest.importorskip("pytorch3d.renderer.mesh", reason="PyTorch3D is not installed; it has no wheel for this platform")
    same_picture("pytorch3d", textured=True)


def test_a_3d_head_without_pytorch3d_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        MeshRenderer(head(False), 64, "pytorch3d")
