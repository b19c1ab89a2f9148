"""The supplement's figures: what is counted, and that the pictures show it."""

import numpy as np
import pytest
import torch

from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.core.errors import DataError
from emotalker.data import CorpusWriter, load_clips
from emotalker.data.shards import Corpus
from emotalker.evaluation.paper_figures import (
    CodeUse,
    diversity,
    faces_of,
    identity_sheet,
    pitch_by_emotion,
    save_codebook_figure,
    save_pitch_figure,
)
from emotalker.face.model import FaceModel
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.render.mesh_renderer import Head
from emotalker.video import load_image


@pytest.fixture(scope="module")
def model():
    return FaceModel.load()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Raised brows in happy clips, lowered head in sad ones."""
    writer = CorpusWriter(tmp_path_factory.mktemp("corpus"), ARKIT, "synthetic", "CC0")
    for i in range(30):
        motion = np.zeros((16, 58), np.float32)
        emotion = ("happy", "sad", None)[i % 3]
        motion[:, ARKIT.index("browInnerUp")] = 0.9 * (emotion == "happy")
        motion[:, ARKIT.index("pitch")] = np.radians(5.0) * (emotion == "sad")
        writer.add(f"clip{i}", motion, np.zeros(16 * 640, np.float32), emotion=emotion)
    writer.close()
    return writer.root


@pytest.fixture(scope="module")
def vqvae(corpus):
    """Untrained, with the corpus' own latents as codes."""
    torch.manual_seed(0)
    network = VQVAE(VQVAEConfig(width=16, depth=2, code_dim=8, codebook_size=16, motion_dim=len(ARKIT.face)))
    motions = np.stack([clip.motion[:, ARKIT.face] for clip in load_clips([corpus], "train", "arkit")])
    with torch.no_grad():
        network.train()(torch.from_numpy(motions))  # the first batch initialises the codebook
    return network.eval()


def test_codes_of_emotions_are_counted():
    counts = np.zeros((4, 8), int)
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    counts[0, happy], counts[1, sad], counts[2, happy], counts[2, sad] = 6, 20, 6, 20
    use = CodeUse(counts, 0.75, 0.5)
    assert use.emotion_of_code.tolist() == [happy, sad, happy, -1]  # equal shares go to the first
    share = np.array([6, 20, 26]) / 52
    assert use.perplexity == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    centroids = use.centroids(np.eye(4))
    assert set(centroids) == {"happy", "sad"}
    assert centroids["happy"].tolist() == [0.5, 0, 0.5, 0] and centroids["sad"].tolist() == [0, 1, 0, 0]


def test_codes_that_differ_by_emotion_are_purer_than_by_chance(corpus, vqvae, model, tmp_path):
    clips = load_clips([corpus], "train", "arkit")
    use = CodeUse.measure(vqvae, clips)
    labelled = sum(clip.emotion is not None for clip in clips)
    assert use.counts.sum() == labelled * 4 and use.purity > use.chance + 0.2
    path = save_codebook_figure(tmp_path / "codes.png", vqvae, use, model)
    assert load_image(path).std() > 10
    with pytest.raises(DataError, match="emotion"):
        CodeUse.measure(vqvae, [clip for clip in clips if clip.emotion is None])


def test_decoded_codes_are_shown(vqvae, model):
    faces = faces_of(vqvae, {"a": np.zeros(8), "b": 3 * np.ones(8)}, model, 64)
    assert faces["a"].shape == (64, 64, 3) and (faces["a"] != faces["b"]).any()


def test_raised_heads(corpus, tmp_path):
    pitches = pitch_by_emotion(Corpus(corpus).clips)
    assert {k: len(v) for k, v in pitches.items()} == {"happy": 10, "sad": 10}
    assert pitches["sad"].mean() == pytest.approx(5, abs=0.01) and pitches["happy"].mean() == 0
    assert load_image(save_pitch_figure(tmp_path / "p.png", {"one": pitches})).std() > 5
    with pytest.raises(DataError, match="emotion"):
        save_pitch_figure(tmp_path / "q.png", {"one": {}})


def test_one_motion_on_several_heads(model):
    motion = np.zeros((10, 58), np.float32)
    motion[9, ARKIT.index("jawOpen")] = 1
    sheet = identity_sheet(motion, {"average": Head.average(model), "other": Head.random(model, 1)}, [0, 9], 64, 48)
    assert sheet.shape == (96, 96, 3)
    assert (sheet[:48, :48] != sheet[:48, 48:]).any() and (sheet[:48] != sheet[48:]).any()


def test_diversity_is_the_distance_of_pairs():
    assert diversity([np.ones((5, 3)), np.ones((5, 3))]) == 0
    assert diversity([np.zeros((5, 3)), np.full((5, 3), 2.0)]) == pytest.approx(2)
