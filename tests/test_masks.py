"""Attention biases and windows of the transformer."""

import math

import pytest
import torch

from emotalker.models.masks import age_bias, aligned_windows, head_slopes, self_attention_bias


def test_slopes():
    assert torch.equal(head_slopes(4), torch.tensor([1 / 4, 1 / 16, 1 / 64, 1 / 256]))
    assert torch.allclose(head_slopes(8), torch.tensor([2.0**-m for m in range(1, 9)]))


@pytest.mark.parametrize("heads, period, length", [(4, 4, 1), (4, 4, 23), (8, 3, 17), (2, 1, 9)])
def test_the_bias_matches_its_formula(heads, period, length):
    bias = self_attention_bias(length, head_slopes(heads), period, max_age=1000)
    assert bias.shape == (heads, length, length)
    for m in range(1, heads + 1):
        for i in range(length):
            for j in range(length):
                expected = -(2 ** (-8 * m / heads)) * math.floor((i - j) / period) if j <= i else -math.inf
                assert bias[m - 1, i, j].item() == pytest.approx(expected, rel=1e-6)


def test_codes_beyond_the_maximum_age_are_masked():
    bias = self_attention_bias(1500, head_slopes(4), 4, max_age=600)
    assert bias[0, 1400, 801] == -0.25 * 149
    assert bias[0, 1400, 800] == -math.inf
    assert (bias.diagonal(dim1=1, dim2=2) == 0).all()


def test_the_bias_of_one_step_is_a_row_of_the_full_bias():
    slopes = head_slopes(4)
    whole = self_attention_bias(20, slopes, 4, max_age=50)
    assert torch.equal(age_bias((19 - torch.arange(20))[None], slopes, 4, 50)[:, 0], whole[:, 19])


@pytest.mark.parametrize(
    "codes, frames, k", [(1, 1, 8), (1, 8, 8), (3, 17, 8), (7, 56, 8), (7, 49, 8), (5, 60, 8), (6, 11, 2)]
)
def test_windows_match_their_formula(codes, frames, k):
    index, visible = aligned_windows(codes, frames, k)
    assert index.shape == visible.shape == (codes, 2 * k)
    assert index.min() >= 0 and index.max() < frames
    for i in range(codes):
        expected = list(range(max(0, (i - 1) * k), min(frames, (i + 1) * k)))
        assert index[i][visible[i]].tolist() == expected and expected


def test_codes_after_the_end_attend_to_the_last_frame():
    index, visible = aligned_windows(10, 12, 8)
    for i in range(3, 10):
        assert index[i][visible[i]].tolist() == [11]
