"""The pictures of :mod:`emotalker.render.mesh_raster` from tensor operations, with PyTorch3D or our rasteriser in tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from emotalker.face.rasterizer import Backend, rasterize


class TensorMesh:
    """Draws textured, shaded triangles; arguments as those of :func:`emotalker.render.mesh_raster.draw_triangles`.

    Args:
        triangles, one_sided, uv, textures, texture_of, colors: of the mesh.
        background: ``(3,)`` colour, 0..255.
        size: side of the pictures, pixels.
        backend: "pytorch3d" or "torch".
        device: where pictures are drawn.

    Raises:
        MissingExtraError: when drawing, ``pytorch3d`` is requested and not installed.
    """

    def __init__(
        self,
        triangles: np.ndarray,
        one_sided: np.ndarray,
        uv: np.ndarray,
        textures: tuple[np.ndarray, ...],
        texture_of: np.ndarray,
        colors: np.ndarray,
        background: tuple[float, float, float],
        size: int,
        backend: Backend,
        device: str | torch.device = "cpu",
    ):
        def tensor(values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device, dtype)

        self._triangles, self._texture_of = tensor(triangles, torch.int64), tensor(texture_of, torch.int64)
        self._one_sided, self._uv, self._colors = tensor(one_sided, torch.bool), tensor(uv), tensor(colors)
        self._textures = [tensor(texture) for texture in textures]
        self._background = torch.tensor(background, dtype=torch.float32, device=device)
        self._size, self._backend, self._device = size, backend, device

    @torch.inference_mode()
    def draw(self, points: np.ndarray, brightness: np.ndarray) -> np.ndarray:
        """The picture ``(S, S, 3)`` uint8 of projected points ``(V, 3)`` and the brightness of vertices ``(V,)``."""
        vertices = torch.from_numpy(np.ascontiguousarray(points, np.float32)).to(self._device)
        light = torch.from_numpy(np.ascontiguousarray(brightness, np.float32)).to(self._device)
        corners = vertices[self._triangles, :2]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        # v points down, so a triangle that faces the viewer has negative area on the screen
        behind = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
        drawn = (~(behind & self._one_sided)).nonzero()[:, 0]
        hit, weights = rasterize(vertices, self._triangles[drawn], self._size, self._size, backend=self._backend)
        pixels = (hit >= 0).flatten().nonzero()[:, 0]
        owner, weights = drawn[hit.flatten()[pixels]], weights.reshape(-1, 3)[pixels]
        shade = (light[self._triangles[owner]] * weights).sum(1, keepdim=True)
        color = self._colors[owner]
        place = (self._uv[owner] * weights[..., None]).sum(1)
        for index, texture in enumerate(self._textures):
            chosen = self._texture_of[owner] == index
            color[chosen] = _bilinear(texture, place[chosen])
        picture = self._background.repeat(self._size**2, 1)
        picture[pixels] = (shade * color).clamp(max=255)
        return (picture + 0.5).clamp(0, 255).to(torch.uint8).view(self._size, self._size, 3).cpu().numpy()


def _bilinear(texture: Tensor, uv: Tensor) -> Tensor:
    """Sample ``(H, W, 3)`` at ``uv (N, 2)``, 0..1 with v up: ``(N, 3)``."""
    rows, columns = texture.shape[:2]
    x = (uv[:, 0] * columns - 0.5).clamp(0, columns - 1.001)
    y = ((1 - uv[:, 1]) * rows - 0.5).clamp(0, rows - 1.001)
    i, j = x.long(), y.long()
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    upper = torch.lerp(texture[j, i], texture[j, i + 1], fx)
    return torch.lerp(upper, torch.lerp(texture[j + 1, i], texture[j + 1, i + 1], fx), fy)
