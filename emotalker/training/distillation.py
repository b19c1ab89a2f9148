"""Distillation of the face reader (Hinton et al. 2015): a small student is trained on the outputs of a larger teacher."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from emotalker.settings.networks import FaceReaderConfig
from emotalker.synthetic.reader import SyntheticFaceReader

RIDGE = 1e-4  # added to the variance of the teacher's components, which are scaled to about 1


@torch.no_grad()
def reduce_inputs(teacher: SyntheticFaceReader, config: FaceReaderConfig, described: Tensor) -> SyntheticFaceReader:
    """The teacher with fewer input components, chosen by their effect on its first layers.

    Principal components are ordered by their own variance. Here components are ordered by the variance that they cause in the
    outputs of all members' first layers (reduced-rank regression, Izenman 1975), of which a quarter suffices. They have unit
    covariance. All other weights are the teacher's; dropout is off.

    Args:
        teacher: a trained network.
        config: number of components to keep, at most the teacher's.
        described: ``(N, D)`` the teacher's descriptors of some faces.
    """
    sizes = {"mouth": config.mouth, "eye": config.eye, "landmarks": config.landmarks}
    result = SyntheticFaceReader(replace(teacher.config, **sizes, dropout=0.0))
    copy_matching(teacher, result)
    mouth, landmarks, eyes = described.split(teacher.parts, 1)
    # The inputs of the first layers are [mouth, mouth - context, landmarks, landmarks - context], likewise for the eyes.
    of_mouth, of_low = _split([m.mouth[0] for m in teacher.members], 2 * teacher.config.mouth)
    of_eyes, of_high = _split([m.eyes[0] for m in teacher.members], 4 * teacher.config.eye)
    maps = []
    for weights, values, whitening, smaller in (
        (of_mouth, mouth, teacher.of_mouth, result.of_mouth),
        (of_eyes, torch.cat(eyes.chunk(2, 1)), teacher.of_eye, result.of_eye),
        (of_low + of_high, landmarks, teacher.of_landmarks, result.of_landmarks),
    ):
        count = smaller.basis.shape[1]
        scale = torch.linalg.cholesky(values.T.cov() + RIDGE * torch.eye(values.shape[1]))
        directions = torch.linalg.svd(_stack(weights, values.shape[1]) @ scale, full_matrices=False)[2][:count].T
        smaller.basis.copy_(whitening.basis @ torch.linalg.solve_triangular(scale.T, directions, upper=True))
        maps.append(scale @ directions)
    by_mouth, by_eye, by_landmarks = maps
    for old, new in zip(teacher.members, result.members, strict=True):
        _map_columns(old.mouth[0], new.mouth[0], [by_mouth] * 2 + [by_landmarks] * 2)
        _map_columns(old.eyes[0], new.eyes[0], [by_eye] * 4 + [by_landmarks] * 2)
    _map_columns(teacher.synthetic_head, result.synthetic_head, [by_mouth, by_landmarks, by_eye, by_eye])
    return result


@torch.no_grad()
def copy_matching(source: nn.Module, target: nn.Module) -> None:
    """Copy the tensors that have the same name and shape in both networks."""
    tensors = target.state_dict()
    tensors |= {n: v for n, v in source.state_dict().items() if n in tensors and tensors[n].shape == v.shape}
    target.load_state_dict(tensors)


def _split(layers: list[nn.Linear], first: int) -> tuple[list[Tensor], list[Tensor]]:
    """The layers' weights of the first inputs and of the others."""
    return [layer.weight[:, :first] for layer in layers], [layer.weight[:, first:] for layer in layers]


def _stack(weights: list[Tensor], width: int) -> Tensor:
    """Weights of inputs that repeat every ``width``, stacked to ``(rows, width)``."""
    return torch.cat([part for weight in weights for part in weight.split(width, 1)])


def _map_columns(old: nn.Linear, new: nn.Linear, maps: list[Tensor]) -> None:
    """Set the new layer's weights to the old layer's, block by block in the new components."""
    blocks = old.weight.split([len(each) for each in maps], 1)
    new.weight.copy_(torch.cat([block @ each for block, each in zip(blocks, maps, strict=True)], 1))
