"""Emotion labels in training, and the mirror image and amplitude of motion."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.coefficients.space import BFM
from emotalker.settings.run import MotionAugmentation
from emotalker.training.augment import augment_motion
from emotalker.training.classification import balanced_weights, confusion_matrix, unweighted_accuracy


def test_balanced_weights_give_every_emotion_the_same_sum():
    labels = [0] * 6 + [4] * 2 + [-1] * 5
    weights = balanced_weights(labels)
    assert (weights[0] * 6).item() == pytest.approx((weights[4] * 2).item()) and weights.count_nonzero() == 2
    assert balanced_weights([-1, -1]).count_nonzero() == 0


def test_unweighted_accuracy_is_the_mean_recall():
    labels = torch.tensor([0, 0, 0, 4, -1])
    logits = torch.eye(8)[[0, 0, 4, 4, 2]]
    confusion = confusion_matrix(labels, logits)
    assert confusion.sum().item() == pytest.approx(4 / 5), "unlabelled examples are in no row"
    assert unweighted_accuracy(confusion) == pytest.approx((2 / 3 + 1) / 2)
    assert unweighted_accuracy(torch.zeros(8, 8)) == 0.0


def test_the_mirror_image_swaps_sides_and_turns_the_other_way():
    motion = np.random.default_rng(0).uniform(0, 1, (5, ARKIT.dim)).astype(np.float32)
    mirrored = ARKIT.mirrored(motion)
    left, right, jaw, yaw, pitch = ARKIT.indices(["mouthSmileLeft", "mouthSmileRight", "jawOpen", "yaw", "pitch"])
    np.testing.assert_array_equal(mirrored[:, left], motion[:, right])
    np.testing.assert_array_equal(mirrored[:, [jaw, pitch]], motion[:, [jaw, pitch]])
    np.testing.assert_array_equal(mirrored[:, yaw], -motion[:, yaw])
    np.testing.assert_array_equal(ARKIT.mirrored(mirrored), motion)
    with pytest.raises(ValueError, match="no entries for left and right"):
        BFM.mirrored(np.zeros((1, BFM.dim)))


def test_augmented_motion_is_scaled_and_stays_in_range():
    motion = np.full((4, ARKIT.dim), 0.9, np.float32)
    same = augment_motion(motion, ARKIT, MotionAugmentation(mirror=0.0, scales=(1.0, 1.0)), np.random.default_rng(0))
    np.testing.assert_array_equal(same, motion)
    large = augment_motion(motion, ARKIT, MotionAugmentation(mirror=1.0, scales=(1.2, 1.2)), np.random.default_rng(0))
    assert large[:, ARKIT.expression].max() == 1 and large[0, ARKIT.index("yaw")] == pytest.approx(-1.08)
    assert motion.max() == np.float32(0.9), "the argument is unchanged"
