"""The paper's size end to end: MEAD's layout on disk, every stage with its published preset, a video of the new weights."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from helpers import tiny_hubert
from skimage import data

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.console.main import find
from emotalker.core.checkpoint import load_checkpoint
from emotalker.core.launch import compose
from emotalker.data import load_clips
from emotalker.data.prepare import prepare
from emotalker.inference.commands import infer
from emotalker.models.hubert import AudioEncoder
from emotalker.settings.corpora import Preparation
from emotalker.settings.lip import LipTraining
from emotalker.settings.transformer import TransformerTraining
from emotalker.settings.vqvae import VQVAETraining
from emotalker.training import lip, transformer, vqvae
from emotalker.training.export import export
from emotalker.video import VideoWriter, video_info

SIZE, FRAMES, FPS = 224, 40, 30
PHOTO = cv2.resize(data.astronaut()[0:256, 96:352], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
EMOTIONS = {"happy": "level_3", "sad": "level_1"}
#: Only lengths and numbers differ from the published training.
SHORT = ["steps=2", "validate_every=2", "save_every=2", "batch_size=2", "log_every=1", "cpu=true"]


@pytest.fixture(scope="module")
def voice():
    from importlib.resources import files

    return load_audio(str(files("emotalker") / "assets" / "demo.flac"))


@pytest.fixture(scope="module")
def mead(tmp_path_factory, voice):
    """Two speakers in MEAD's layout: videos without sound, recordings beside them."""
    root = tmp_path_factory.mktemp("mead")
    for person, sign in (("M005", 1), ("W016", -1)):
        for number, (emotion, level) in enumerate(EMOTIONS.items()):
            video = root / person / "video/front" / emotion / level / "001.mp4"
            sound = root / person / "audio" / emotion / level / "001.m4a"
            for path in (video, sound):
                path.parent.mkdir(parents=True)
            start = number * SAMPLE_RATE
            speech = voice[start : start + FRAMES * SAMPLE_RATE // FPS]
            with VideoWriter(video, SIZE, SIZE, FPS) as writer:
                for i in range(FRAMES):
                    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), sign * 6 * np.sin(i / 6), 1.0)
                    writer.write(cv2.warpAffine(PHOTO, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE))
            with VideoWriter(sound.with_suffix(".mp4"), 16, 16, 25, speech, SAMPLE_RATE) as writer:
                for _ in range(round(len(speech) / SAMPLE_RATE * 25)):
                    writer.write(np.zeros((16, 16, 3), np.uint8))
            sound.with_suffix(".mp4").rename(sound)
    return root


def test_from_mead_on_disk_to_a_video(mead, voice, tmp_path):
    made = prepare(compose(Preparation, ["corpus=mead", f"root={mead}", f"out={tmp_path / 'mead'}", "workers=1"]))
    assert made == {"prepared": 4, "failed": 0, "waiting": 0}
    (clip, _), held_out = (load_clips(tmp_path / "mead", split, "arkit") for split in ("train", "val"))
    assert len(held_out) == 2 and held_out[0].name.startswith("W016_front")  # validation is another person
    roll = clip.motion[:, clip.corpus.space.names.index("roll")]
    assert np.ptp(roll) > np.radians(6)  # tracked, not constant

    # The paper's encoder is a folder in Hugging Face's layout; this one has HuBERT's strides and few channels.
    torch.manual_seed(0)
    weights = tmp_path / "weights"
    AudioEncoder(tiny_hubert()).hubert.save_pretrained(weights / "audio_encoder")
    inputs = [f"vqvae={tmp_path}/vqvae/best.safetensors", f"encoder={weights / 'audio_encoder'}"]
    stages = [(vqvae, VQVAETraining, ["data.frames=24"]), (transformer, TransformerTraining, ["data.frames=24", *inputs])]
    for stage, schema, more in [*stages, (lip, LipTraining, ["data.validation_frames=10"])]:
        name = schema.NAME
        settings = ["preset=paper", *SHORT, *more, f"data.root={tmp_path / 'mead'}", f"run={tmp_path / name}"]
        before = stage.train(compose(schema, [*settings, "steps=1", "validate_every=1"]))
        after = stage.train(compose(schema, settings))  # resumes
        assert np.isfinite(list(after.values())).all() and after["loss"] != before["loss"]
        published = asdict(compose(schema, ["preset=paper"]).model)
        trained = load_checkpoint(tmp_path / name / "last.safetensors", name).config
        assert {key: getattr(trained, key) for key in published} == published

    export({name: tmp_path / name / "best.safetensors" for name in ("vqvae", "transformer", "lip")}, weights)
    assert "MEAD, research use" in (weights / "README.md").read_text(encoding="utf-8")
    cv2.imwrite(str(tmp_path / "p.png"), PHOTO[..., ::-1])
    output = tmp_path / "v.mp4"
    recording = mead / "W016/audio/sad/level_1/001.m4a"
    options = ["--audio", str(recording), "--image", str(tmp_path / "p.png"), "--output", str(output), "--size", "128"]
    infer(find(["infer"]).parser().parse_args([*options, "--checkpoints", str(weights)]))
    assert video_info(output).frames == pytest.approx(FRAMES * 25 / FPS, abs=1)
