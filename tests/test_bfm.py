"""The paper's coefficient space: layout and MATLAB files."""

import numpy as np
import pytest
from scipy.io import savemat

from emotalker.coefficients import get_space
from emotalker.coefficients.bfm import PARTS, Reconstruction, read_bfm_mat
from emotalker.coefficients.space import BFM
from emotalker.core.errors import DataError


def test_the_layout_matches_the_paper():
    assert get_space("bfm") is BFM and BFM.dim == 70
    assert BFM.lip.tolist() == [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14]
    assert len(BFM.face) == 57 and BFM.pose == slice(64, 70)
    assert sum(part.stop - part.start for part in PARTS.values()) == 257


def test_vectors_are_split_into_parts(tmp_path):
    vectors = np.arange(2 * 257, dtype=np.float64).reshape(2, 257)
    savemat(tmp_path / "a.mat", {"coeff": vectors, "transform_params": np.zeros((2, 5))})
    found = read_bfm_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(found.motion[0], [*range(80, 144), 224, 225, 226, 254, 255, 256])
    assert found.identity.shape == (2, 80) and found.lighting.shape == (2, 27)
    savemat(tmp_path / "b.mat", {"coeff_3dmm": vectors[:, :73]})
    np.testing.assert_array_equal(read_bfm_mat(tmp_path / "b.mat").motion, vectors[:, :70])


@pytest.mark.parametrize("content", [{"other": np.zeros(3)}, {"coeff": np.zeros((3, 256))}, {"coeff": np.zeros(257)}, None])
def test_other_files_raise_data_errors(tmp_path, content):
    path = tmp_path / "a.mat"
    if content is not None:
        savemat(path, content)
    if content is not None and "coeff" in content and content["coeff"].ndim == 1:
        assert read_bfm_mat(path).motion.shape == (1, 70), "MATLAB stores a vector as one row"
        return
    with pytest.raises(DataError, match=r"a\.mat"):
        read_bfm_mat(path)


def test_reconstructions_have_257_entries():
    with pytest.raises(ValueError, match="257"):
        Reconstruction.from_vectors(np.zeros((4, 70)))
