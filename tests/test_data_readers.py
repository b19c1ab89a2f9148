"""Readers on small copies of their corpora: layout, labels and motion."""

import wave
from pathlib import Path

import numpy as np
import pytest
from helpers import save_wav
from scipy.io import savemat

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.live_link import COLUMNS, live_link_values, write_live_link
from emotalker.coefficients.resample import resample, resample_angles, resampled_length
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.core.emotions import EMOTIONS, emotion_of
from emotalker.core.errors import DataError
from emotalker.core.launch import compose
from emotalker.data.prepare import prepare
from emotalker.data.readers import READERS, make_reader
from emotalker.data.readers.facegood import read_arkit_map
from emotalker.data.readers.grid import HEIGHT, WIDTH
from emotalker.data.shards import Corpus
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.settings.corpora import Preparation

LANDMARKS = np.arange(0, 478, 5)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_emotion_labels_of_different_corpora_are_unified():
    assert emotion_of("Fearful") == emotion_of("FEA") == emotion_of("fear") == "fear"
    assert emotion_of("calm") == "neutral" and emotion_of("contempt") == "contempt"
    assert emotion_of("sleepy") is None and emotion_of(None) is None and emotion_of("") is None
    assert len(EMOTIONS) == 8


def test_mead_layout(tmp_path):
    touch(
        tmp_path, "M003/video/front/contempt/level_2/007.mp4", "M003/audio/contempt/level_2/007.m4a",
        "W011/video/front/surprised/level_3/001.mp4", "W011/video/top/surprised/level_3/001.mp4", "README.txt",
    )  # fmt: skip
    clips = make_reader({"reader": "mead", "root": tmp_path}).clips()
    assert [(c.id, c.speaker, c.emotion, c.level) for c in clips] == [
        ("M003_front_contempt_level2_007", "M003", "contempt", 2),
        ("W011_front_surprised_level3_001", "W011", "surprised", 3),
    ]
    assert clips[0].audio.name == "007.m4a" and clips[1].audio is None and "MEAD" in clips[0].licence
    assert len(make_reader({"reader": "mead", "root": tmp_path, "views": ["front", "top"]}).clips()) == 3


def test_ravdess_layout(tmp_path):
    names = ["01-01-06-02-01-02-03", "01-01-02-01-01-01-17", "02-01-06-02-01-02-03", "03-01-06-02-01-02-03"]
    touch(tmp_path, *(f"Actor_{n[-2:]}/{n}.mp4" for n in names))
    reader = make_reader({"reader": "ravdess", "root": tmp_path})
    clips = reader.clips()
    assert [(c.id, c.speaker, c.emotion, c.original_emotion, c.level) for c in clips] == [
        ("01-06-02-01-02-03", "03", "fear", "fearful", 2),
        ("01-02-01-01-01-17", "17", "neutral", "calm", 1),
    ]
    assert (reader.validation_speakers, reader.test_speakers) == (("15", "16"), ("17", "18", "19", "20"))


def test_cremad_and_hdtf_layout(tmp_path):
    touch(tmp_path / "c", "VideoFlash/1001_IEO_ANG_HI.flv", "VideoFlash/1002_DFA_NEU_XX.flv", "AudioWAV/1001_IEO_ANG_HI.wav")
    clips = make_reader({"reader": "cremad", "root": tmp_path / "c"}).clips()
    assert [(c.speaker, c.emotion, c.level, c.audio is not None) for c in clips] == [
        ("1001", "angry", 3, True),
        ("1002", "neutral", None, False),
    ]
    touch(tmp_path / "h", "RD_Radio1_000.mp4", "sub/WDA_Obama_001.mp4", "sub/notes.txt")
    clips = make_reader({"reader": "hdtf", "root": tmp_path / "h"}).clips()
    assert [(c.id, c.speaker) for c in clips] == [("RD_Radio1_000", "RD_Radio1"), ("sub_WDA_Obama_001", "WDA_Obama")]


def test_folder_reader_labels_clips_by_pattern(tmp_path):
    touch(tmp_path, "a/video/x.y.mp4", "a/audio/x.y.opus", "b/02-01-03_01.mp4", "b/02-01-03_01.wav")
    config = {"reader": "folder", "root": [tmp_path / "a", tmp_path / "b"]}
    config |= {"pattern": r"(?P<speaker>\d\d)-\d\d-(?P<emotion>\d\d)_\d\d", "emotions": {"03": "happy"}}
    clips = make_reader(config).clips()
    assert [(c.id, c.speaker, c.emotion, c.audio.name) for c in clips] == [
        ("a_video_x_y", "a_video", None, "x.y.opus"),
        ("b_02-01-03_01", "b_02", "happy", "02-01-03_01.wav"),
    ]
    touch(tmp_path, "c/video/z.mp4", "d/video/z.mp4")
    clips = make_reader({"reader": "folder", "root": [tmp_path / "c/video", tmp_path / "d/video"]}).clips()
    assert [c.id for c in clips] == ["c_video_z", "d_video_z"]
    with pytest.raises(DataError, match="same folder twice"):
        make_reader({"reader": "folder", "root": [tmp_path / "a", tmp_path / "a"]}).clips()
    with pytest.raises(DataError, match="not a regular expression"):
        make_reader({"reader": "folder", "root": tmp_path, "pattern": "("})


def test_folder_reader_of_one_sitting_per_speaker(tmp_path):
    (tmp_path / "08-02-05_01.mp4").touch()
    reader = make_reader(configured("javanese") | {"root": tmp_path})
    (clip,) = reader.clips()
    assert (clip.speaker, clip.emotion, reader.name) == ("08", "fear", "javanese")
    assert reader.one_sitting and (reader.validation_speakers, reader.test_speakers) == (("07",), ("08", "09"))
    plain = make_reader({"reader": "folder", "root": tmp_path})
    assert not plain.one_sitting and not plain.test_speakers


def configured(corpus: str) -> dict:
    """A corpus' options as configs/prepare/corpus has them."""
    return compose(Preparation, [f"corpus={corpus}", "root=x", "out=y"]).corpus


def test_bfm_files_at_30_fps_with_audio(tmp_path):
    vectors = np.zeros((60, 257))
    vectors[:, 81] = np.sin(np.arange(60) / 30 * 2 * np.pi)  # 1 Hz
    vectors[:, 224] = np.linspace(-0.2, 0.2, 60)
    (tmp_path / "3DMM").mkdir()
    savemat(tmp_path / "3DMM" / "Obama_clip1.mat", {"coeff": vectors})
    save_wav(tmp_path / "Obama_clip1.wav", np.zeros(32000))
    reader = make_reader({"reader": "bfm_mat", "root": tmp_path, "fps": 30})
    clip = reader.clips()[0]
    data = reader.load(clip)
    assert (clip.id, clip.speaker, data.motion.shape) == ("3DMM_Obama_clip1", "Obama", (50, 70)) and len(data.audio) == 32000
    np.testing.assert_allclose(data.motion[3:-3, 1], np.sin(np.arange(50) / 25 * 2 * np.pi)[3:-3], atol=0.03)
    np.testing.assert_allclose(np.diff(data.motion[3:-3, 64]), 0.4 / 59 * 30 / 25, rtol=0.02)


def test_facegood_takes(tmp_path):
    (tmp_path / "arkit_map.csv").write_text(
        'ARKIT,Voice2Face,Status\n\njawOpen,mouth_stretch_c,valid\nbrowDownleft,brow_l,Invalid\nmouthPucker,"max(p_l,p_r)",valid\n'
    )
    assert read_arkit_map(tmp_path / "arkit_map.csv") == {"jawOpen": ["mouth_stretch_c"], "mouthPucker": ["p_l", "p_r"]}
    weights = np.tile([0.5, 0.1, 0.3], (60, 1)).astype(np.float16)
    np.savez(tmp_path / "2_01.npz", weights=weights, names=["mouth_stretch_c", "p_l", "p_r"], fps=30)
    save_wav(tmp_path / "2_01.wav", np.zeros(32000))
    reader = make_reader({"reader": "facegood", "root": tmp_path})
    data = reader.load(reader.clips()[0])
    assert data.motion.shape == (50, 58)
    np.testing.assert_allclose(data.motion[:, ARKIT.index("jawOpen")], 0.5, atol=1e-3)
    np.testing.assert_allclose(data.motion[:, ARKIT.index("mouthPucker")], 0.3, atol=1e-3)
    np.savez(tmp_path / "2_01.npz", weights=weights, names=["a", "b", "c"])
    with pytest.raises(DataError, match="not a take"):
        reader.load(reader.clips()[0])


def test_resampling_of_motion_and_angles():
    time = np.arange(90) / 30
    assert resampled_length(90, 30, 25) == 75 and resampled_length(1, 60, 25) == 1
    wave_ = np.sin(2 * np.pi * 2 * time)[:, None]
    np.testing.assert_allclose(resample(wave_, 30, 25)[4:-4, 0], np.sin(2 * np.pi * 2 * np.arange(75) / 25)[4:-4], atol=0.1)
    np.testing.assert_allclose(resample(np.full((10, 2), 3.0), 60, 25), 3.0)
    assert np.abs(resample((-1.0) ** np.arange(120)[:, None], 60, 25)[4:-4]).max() < 0.1, "aliasing"
    roll = np.linspace(3.0, 3.4, 90)  # passes pi
    angles = np.stack([np.zeros(90), np.zeros(90), (roll + np.pi) % (2 * np.pi) - np.pi], -1)
    out = np.unwrap(resample_angles(angles, 30, 25)[:, 2])
    np.testing.assert_allclose(out[2:-2], np.interp(np.arange(75) / 25, time, roll)[2:-2], atol=1e-3)


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_a_configuration_and_needs_its_folder(name, tmp_path):
    config = configured(name)
    assert config["reader"] == name
    with pytest.raises(DataError, match=r"no folder .*root="):
        make_reader(config | {"root": tmp_path / "none"})
    with pytest.raises(DataError):
        make_reader(config | {"root": tmp_path}).clips()


def test_grid_motion_is_recovered_from_landmarks(tmp_path):
    """Landmarks of the face model with known pose and jaw motion; the reader returns this motion."""
    model, camera = FaceModel.load(), Camera.default(WIDTH, HEIGHT)
    names, frames, clips = ["_neutral", *ARKIT_BLENDSHAPES[:-1]], 40, 3
    scores = np.zeros((clips, frames, 52), np.float32)
    scores[..., 1 + ARKIT_BLENDSHAPES.index("jawOpen")] = 0.3 + 0.3 * np.sin(np.arange(frames) / 3)
    scores[..., 1 + ARKIT_BLENDSHAPES.index("browDownLeft")] = 0.2
    blendshapes = np.concatenate([scores[..., 1:], np.zeros((clips, frames, 1))], -1)
    yaw = 0.1 * np.sin(np.arange(frames) / 8)
    rotation = rotation_matrix(np.stack([np.zeros(frames), yaw, np.zeros(frames)], -1))
    points = model.landmarks(None, blendshapes)[:, :, LANDMARKS] @ rotation.transpose(0, 2, 1) + np.array([0, 0, -90.0])
    landmarks = np.concatenate([camera.project(points) / [WIDTH, HEIGHT], points[..., 2:]], -1).astype(np.float32)
    scores[1, :4] = landmarks[1, :4] = np.nan
    scores[2, 5:35] = landmarks[2, 5:35] = np.nan
    (tmp_path / "audio").mkdir()
    np.savez(
        tmp_path / "motion.npz", clip=["a", "b", "c"], frames=[frames] * clips, blendshapes=scores,
        blendshape_names=names, landmarks=landmarks, landmark_index=LANDMARKS,
    )  # fmt: skip
    for name in "abc":
        with wave.open(str(tmp_path / "audio" / f"{name}.opus"), "wb") as file:  # the decoder ignores the suffix
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.repeat(np.arange(frames, dtype=np.int16) * 100, 640).tobytes())

    corpus = {"reader": "grid", "min_frames": 25}
    config = Preparation(corpus=corpus, root=str(tmp_path), out=str(tmp_path / "out"), clips_per_shard=9, workers=1)
    assert prepare(config)["failed"] == 1
    corpus = Corpus(tmp_path / "out")
    assert [(c.name, c.frames, c.first_frame, c.emotion) for c in corpus.clips] == [
        ("a", 40, 0, "neutral"),
        ("b", 36, 4, "neutral"),
    ]
    assert corpus.manifest["licence"] == "CC BY 4.0" and corpus.manifest["fps"] == 25
    motion = corpus.clips[0].motion
    np.testing.assert_allclose(motion[:, ARKIT.index("jawOpen")], blendshapes[0, :, ARKIT.index("jawOpen")], atol=0.08)
    assert motion[:, ARKIT.index("browDownLeft")].max() < 0.05
    np.testing.assert_allclose(motion[:, ARKIT.index("yaw")], yaw - yaw.mean(), atol=0.03)
    np.testing.assert_allclose(corpus.clips[1].audio[:640], 400 / 32768, atol=1e-4)


def test_live_link_takes(tmp_path):
    motion = np.zeros((60, ARKIT.dim), np.float32)
    motion[:, ARKIT.index("jawOpen")] = np.linspace(0, 0.9, 60)
    motion[:, ARKIT.index("yaw")] = 0.3 + 0.1 * np.sin(np.arange(60) / 8)
    folder = tmp_path / "Anna" / "Take_1"
    folder.mkdir(parents=True)
    write_live_link(folder / "happy_1.csv", motion)
    (folder / "happy_1_raw.csv").write_text("not read")
    save_wav(folder / "happy_1.wav", np.sin(np.arange(2 * 16000) / 20))
    names, values = COLUMNS, live_link_values(motion)
    np.savez(tmp_path / "sad_2.npz", weights=values.astype(np.float16), names=names, fps=50)
    np.savez(tmp_path / "broken_3.npz", weights=values[:, 1:], names=names[1:], fps=50)
    out = tmp_path / "prepared"
    corpus = compose(Preparation, ["corpus=live_link", f"root={tmp_path}", f"out={out}", "workers=1"]).corpus
    reader = make_reader({**corpus, "root": tmp_path})
    broken, happy, sad = sorted(reader.clips(), key=lambda clip: clip.coefficients.name)
    assert (happy.speaker, happy.emotion, sad.emotion, sad.audio) == ("Anna", "happy", "sad", None)
    data = reader.load(happy)
    assert data.motion.shape == (50, ARKIT.dim) and len(data.audio) == 50 * 640, "the sound is shorter than the take"
    np.testing.assert_allclose(data.motion[:, ARKIT.index("jawOpen")], motion[:50, ARKIT.index("jawOpen")], atol=0.01)
    yaw = data.motion[:, ARKIT.index("yaw")]
    assert abs(yaw.mean()) < 0.01 and np.corrcoef(yaw, motion[:50, ARKIT.index("yaw")])[0, 1] > 0.99
    turned = make_reader({**corpus, "root": tmp_path, "head": [1, -1, 1]}).load(happy)
    np.testing.assert_allclose(turned.motion[:, ARKIT.index("yaw")], -yaw, atol=1e-3)
    with pytest.raises(DataError, match="three factors"):
        make_reader({**corpus, "root": tmp_path, "head": [1]})
    data = reader.load(sad)
    assert data.motion.shape == (30, ARKIT.dim) and data.audio is None
    with pytest.raises(DataError, match="lacks the Live Link column EyeBlinkLeft"):
        reader.load(broken)
