"""The paper's coefficient space: layout, files, and the user's own Basel Face Model."""

import numpy as np
import pytest
from scipy.io import savemat

from emotalker.coefficients import get_space
from emotalker.coefficients.bfm import PARTS, BFMModel, Reconstruction, bfm_rotation, read_bfm_mat
from emotalker.coefficients.space import BFM
from emotalker.core.errors import CheckpointError, DataError


def test_the_layout_is_the_papers():
    assert get_space("bfm") is BFM and BFM.dim == 70
    assert BFM.lip.tolist() == [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14]
    assert len(BFM.face) == 57 and BFM.pose == slice(64, 70)
    assert sum(part.stop - part.start for part in PARTS.values()) == 257


def test_a_vector_falls_into_its_parts(tmp_path):
    vectors = np.arange(2 * 257, dtype=np.float64).reshape(2, 257)
    savemat(tmp_path / "a.mat", {"coeff": vectors, "transform_params": np.zeros((2, 5))})
    found = read_bfm_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(found.motion[0], [*range(80, 144), 224, 225, 226, 254, 255, 256])
    assert found.identity.shape == (2, 80) and found.lighting.shape == (2, 27)
    savemat(tmp_path / "b.mat", {"coeff_3dmm": vectors[:, :73]})
    np.testing.assert_array_equal(read_bfm_mat(tmp_path / "b.mat").motion, vectors[:, :70])


@pytest.mark.parametrize("content", [{"other": np.zeros(3)}, {"coeff": np.zeros((3, 256))}, {"coeff": np.zeros(257)}, None])
def test_other_files_are_data_errors(tmp_path, content):
    path = tmp_path / "a.mat"
    if content is not None:
        savemat(path, content)
    if content is not None and "coeff" in content and content["coeff"].ndim == 1:
        assert read_bfm_mat(path).motion.shape == (1, 70), "MATLAB keeps one frame as a row"
        return
    with pytest.raises(DataError, match=r"a\.mat"):
        read_bfm_mat(path)


def test_rotation_is_transposed():
    turned = np.array([[0.0, 1.0, 0.0]]) @ bfm_rotation(np.array([0.3, 0.0, 0.0]))
    np.testing.assert_allclose(turned, [[0, np.cos(0.3), np.sin(0.3)]], atol=1e-7)
    angles = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    np.testing.assert_allclose(
        bfm_rotation(angles) @ np.swapaxes(bfm_rotation(angles), -1, -2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-6
    )


def front_file(path, vertices=30, rng=None):
    rng = rng or np.random.default_rng(0)
    content = {
        "meanshape": rng.normal(0, 1, (1, vertices * 3)), "idBase": rng.normal(0, 0.1, (vertices * 3, 80)),
        "exBase": rng.normal(0, 0.1, (vertices * 3, 64)), "tri": rng.integers(1, vertices + 1, (20, 3)),
        "keypoints": np.arange(1, 11)[None],
    }  # fmt: skip
    savemat(path, content)
    return content


def test_the_front_model_makes_shapes_and_pixels(tmp_path):
    content = front_file(tmp_path / "BFM_model_front.mat")
    model = BFMModel.load(tmp_path)
    assert model.mean.shape == (30, 3) and np.abs(model.mean.mean(0)).max() < 1e-6
    assert model.landmarks.tolist() == list(range(10)) and model.triangles.min() >= 0
    expression = np.zeros(64)
    expression[5] = 2
    shape = model.shape(np.zeros(80), expression)
    np.testing.assert_allclose(shape - model.mean, 2 * content["exBase"][:, 5].reshape(-1, 3), atol=1e-5)
    centre = model.project(np.zeros((1, 1, 3)), np.zeros((1, 3)), np.zeros((1, 3)))
    np.testing.assert_allclose(centre, [[[112, 112]]])
    right_up = model.project(np.array([[[0.1, 0.1, 0.0]]]), np.zeros((1, 3)), np.zeros((1, 3)))[0, 0]
    np.testing.assert_allclose(right_up, [112 + 10.15, 112 - 10.15], atol=1e-3)


def test_the_model_is_made_of_the_original_files(tmp_path):
    """A small stand-in of 01_MorphableModel.mat, Exp_Pca.bin and the index files."""
    rng, full, trimmed, count = np.random.default_rng(1), 40, 35, 70
    basel = {
        "shapeMU": rng.normal(0, 1e5, (full * 3, 1)), "shapePC": rng.normal(0, 1, (full * 3, 99)),
        "shapeEV": rng.uniform(1e3, 1e4, (99, 1)),
    }  # fmt: skip
    savemat(tmp_path / "01_MorphableModel.mat", basel)
    basis = rng.normal(0, 1, (count + 1, trimmed * 3)).astype(np.float32)
    (tmp_path / "Exp_Pca.bin").write_bytes(np.int32(count).tobytes() + basis.tobytes())
    np.savetxt(tmp_path / "std_exp.txt", np.arange(1, count + 1)[None] * 1e4)
    kept, front = np.arange(full - trimmed, full) + 1, np.arange(1, trimmed, 2)
    savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": kept[:, None]})
    savemat(tmp_path / "BFM_front_idx.mat", {"idx": front[:, None]})
    with pytest.raises(CheckpointError, match=r"facemodel_info\.mat.*faces\.dmi\.unibas\.ch"):
        BFMModel.load(tmp_path)
    savemat(tmp_path / "facemodel_info.mat", {"tri": np.array([[1, 2, 3]]), "keypoints": np.array([[1, 2]])})
    model = BFMModel.load(tmp_path)
    assert model.mean.shape == (len(front), 3)
    vertex = kept[front[2] - 1] - 1
    expected = basel["shapePC"].reshape(full, 3, 99)[vertex, :, 7] * basel["shapeEV"][7] / 1e5
    np.testing.assert_allclose(model.identity_basis[7, 2], expected, rtol=1e-4)
    np.testing.assert_allclose(model.expression_basis[3, 2], basis[4].reshape(-1, 3)[front[2] - 1] * 4e4 / 1e5, rtol=1e-4)


def test_a_missing_model_says_where_to_get_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"no Basel Face Model.*faces\.dmi\.unibas\.ch"):
        BFMModel.load(tmp_path)
    (tmp_path / "BFM_model_front.mat").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be read"):
        BFMModel.load(tmp_path)


def test_reconstructions_are_257_long():
    with pytest.raises(ValueError, match="257"):
        Reconstruction.from_vectors(np.zeros((4, 70)))
