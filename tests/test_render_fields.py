"""Displacement fields with opening lines, their inversion, and layers over an opening."""

import numpy as np
import pytest

from emotalker.render.displacement_field import DisplacementField
from emotalker.render.layers import layer_weights
from emotalker.render.opening_line import LOWER, UPPER, OpeningLine
from emotalker.render.warp import Inverter, Region, outside_polygon

LINE = np.array([[30.0, 50.0], [50.0, 52.0], [70.0, 50.0]])


def mouth_field() -> DisplacementField:
    """Lips on a 100 px face: the lower lip moves down by up to 10 pixels, the chin by 8, and the rest is static."""
    xs = np.linspace(35, 65, 7)
    upper = np.column_stack([xs, np.interp(xs, *LINE.T) - 1])
    lower = np.column_stack([xs, np.interp(xs, *LINE.T) + 1])
    chin = np.column_stack([np.linspace(35, 65, 4), np.full(4, 80.0)])
    still = np.array([[x, y] for x in (0, 25, 50, 75, 100) for y in (0, 25)] + [[0, 50], [100, 50], [28, 50], [72, 50.0]])
    points = np.concatenate([upper, lower, chin, still])
    values = np.zeros((len(points), 2))
    values[7:14, 1] = 10 * (1 - ((xs - 50) / 20) ** 2)
    values[14:18, 1] = 8.0
    return DisplacementField(
        points, values, [OpeningLine(LINE)], [(np.arange(7), np.arange(7, 14))], scale=100.0, smoothing=1e-4
    )


def test_field_is_discontinuous_only_across_the_opening_line():
    field = mouth_field()
    above, below = field(np.array([[50.0, 51.5]]))[0], field(np.array([[50.0, 52.5]]))[0]
    assert abs(above[1]) < 1 and below[1] > 8
    outside = field(np.array([[80.0, 49.5], [80.0, 50.5]]))
    assert np.abs(np.diff(outside, axis=0)).max() < 0.3


def test_layer_extends_across_the_opening_line():
    field = mouth_field()
    across = np.column_stack([np.full(9, 50.0), np.linspace(48, 56, 9)])
    upper, lower = field(across, UPPER, 0)[:, 1], field(across, LOWER, 0)[:, 1]
    assert np.abs(upper).max() < 2 and lower.min() > 7
    # On its own side, a layer equals the field.
    np.testing.assert_allclose(upper[:3], field(across[:3])[:, 1], atol=1e-5)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_inversion_of_a_displacement(step):
    region = Region(0, 0, 96, 80, step)
    x, y = region.field_points().T
    bump = np.exp(-((x - 48) ** 2 + (y - 40) ** 2) / 200)
    forward = np.stack([6 * bump, -8 * bump], -1).reshape(*region.field_shape, 2).astype(np.float32)
    backward = Inverter(region, iterations=15)(forward)
    target = region.field_points() + backward.reshape(-1, 2)
    bump_there = np.exp(-((target[:, 0] - 48) ** 2 + (target[:, 1] - 40) ** 2) / 200)
    reached = target + np.stack([6 * bump_there, -8 * bump_there], -1)
    assert np.abs(reached - region.field_points()).max() < 0.05 * step**2 + 0.05


def test_layer_weights_add_up_to_at_most_one_and_to_one_where_layers_touch():
    rng = np.random.default_rng(0)
    for upper, lower in rng.uniform(-4, 4, (2000, 2)).astype(np.float32):
        a, b = layer_weights(upper, lower, np.float32(1.5))
        assert a >= 0 and b >= 0 and a + b <= 1 + 1e-6
        a, b = layer_weights(upper, -upper, np.float32(1.5))  # closed lips
        assert a + b == pytest.approx(1)
    assert layer_weights(np.float32(-3), np.float32(-3), np.float32(1.5)) == (0, 0)  # between open lips


def test_region_is_inside_the_picture_and_samples_pixel_centres():
    region = Region.around(np.array([[2.0, 3.0], [60.0, 63.0]]), (10, 10), size=64, step=2)
    assert region.x == 0 and region.x + region.width <= 64 and region.y + region.height <= 64
    points = region.field_points()
    assert points.min() > 0 and points.max() < 64
    np.testing.assert_allclose(Region(0, 0, 4, 4).field_points()[0], [0.5, 0.5])


def test_distance_from_a_polygon():
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    np.testing.assert_allclose(outside_polygon(np.array([[5.0, 5], [13, 5], [5, -2]]), square), [0, 3, 2])
