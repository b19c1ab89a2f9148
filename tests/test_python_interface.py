"""What programs use: names of the package, progress and cancellation, emotions as arguments, motions as tables, notebooks."""

import base64
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from skimage import data

import emotalker
from emotalker import Cancelled, EmotionTrack, MotionTrack, Style, TalkingHead
from emotalker.coefficients import ARKIT
from emotalker.core.emotions import EMOTIONS
from emotalker.inference.comparison import compare_emotions
from emotalker.inference.motion_plot import save_comparison_plot
from emotalker.inference.style import StyleError
from emotalker.video.reader import read_frames, video_info
from emotalker.video.writer import VideoWriter

SAMPLES = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32), 16000


def save_still_video(path, picture, frames):
    with VideoWriter(path, picture.shape[1], picture.shape[0]) as writer:
        for _ in range(frames):
            writer.write(picture)
    return path


@pytest.fixture(scope="module")
def talking_head():
    return TalkingHead.from_pretrained()


@pytest.fixture(scope="module")
def video(talking_head):
    return talking_head.generate(SAMPLES, data.astronaut(), size=64, emotion="happy", intensity=1.5)


def test_every_public_name_is_there_and_importing_the_package_is_cheap():
    assert all(hasattr(emotalker, name) for name in emotalker.__all__) and set(emotalker.__all__) <= set(dir(emotalker))
    with pytest.raises(AttributeError, match="TalkingHeads"):
        _ = emotalker.TalkingHeads
    heavy = "{'torch', 'numpy', 'cv2', 'scipy', 'av', 'rich'}"
    code = f"import sys, emotalker; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_emotion_needs_no_style_object(talking_head, video):
    options = {"size": 64, "style": Style({"happy": 1.0}, intensity=1.5)}
    assert np.array_equal(video.motion, talking_head.generate(SAMPLES, data.astronaut(), **options).motion)
    sad = talking_head.generate(SAMPLES, data.astronaut(), size=64, emotion={"sad": 0.6}).motion
    assert sad["mouthSmileLeft"].mean() < video.motion["mouthSmileLeft"].mean() - 0.1
    assert sad.emotion.weights[:, EMOTIONS.index("sad")].min() > 0.55


def test_emotion_and_intensity_replace_those_of_the_style():
    style = Style({"sad": 1.0}, intensity=2.0, head=0.5)
    assert style.with_emotion() == style
    assert style.with_emotion("joy:0.7") == Style({"happy": 0.7}, intensity=2.0, head=0.5)
    assert style.with_emotion(intensity=0.5) == Style({"sad": 1.0}, intensity=0.5, head=0.5)
    track = EmotionTrack.constant(np.eye(8)[0])
    assert style.with_emotion(track).requested is track
    for wrong in ({"bored": 1.0}, {"sad": 1.5}, "sad:x"):
        with pytest.raises(StyleError):
            style.with_emotion(wrong)
    with pytest.raises(StyleError, match="0 to 3"):
        style.with_emotion(intensity=4)


def test_streams_and_dubbed_videos_take_an_emotion(talking_head, tmp_path):
    smile, told = ARKIT.index("mouthSmileLeft"), []
    happy, sad = (talking_head.stream(data.astronaut(), size=64, emotion=emotion).motion for emotion in ("happy", "sad"))
    moved = [np.concatenate([motion.push(SAMPLES[0]), motion.finish()])[:, smile].mean() for motion in (happy, sad)]
    assert moved[0] > moved[1] + 0.1

    speaker = save_still_video(tmp_path / "speaker.mp4", data.astronaut()[:256, 96:352], 3)
    dubbed = talking_head.dub(SAMPLES, speaker, emotion="happy", on_progress=lambda *what: told.append(what))
    assert dubbed.motion["mouthSmileLeft"].mean() > moved[1] + 0.1
    assert told[0] == ("reading", 0, None) and told[-1] == ("faces", 3, None)


def test_progress_names_the_stages_in_order(talking_head):
    told = []
    talking_head.generate(SAMPLES, data.astronaut(), size=64, on_progress=lambda *what: told.append(what))
    assert told == [("reading", 0, None), ("portrait", 0, None), ("motion", 0, 13), ("motion", 13, 13)]


@pytest.mark.parametrize("stage", ["reading", "portrait", "motion"])
def test_cancelling_stops_before_a_stage(talking_head, stage):
    def cancel(at: str, done: int, total: int | None) -> None:
        if at == stage:
            raise Cancelled

    with pytest.raises(Cancelled, match="nothing was overwritten"):
        talking_head.generate(SAMPLES, data.astronaut(), size=64, on_progress=cancel)


def test_cancelling_while_saving_leaves_nothing_behind(video, tmp_path):
    earlier = tmp_path / "earlier.mp4"
    earlier.write_bytes(b"an earlier result")
    rendered = []

    def cancel(done: int, total: int) -> None:
        rendered.append(done)
        if done == 4:
            raise Cancelled

    for path in (earlier, tmp_path / "new.mp4"):
        with pytest.raises(Cancelled):
            video.save(path, cancel)
    assert rendered == [1, 2, 3, 4] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["earlier.mp4"] and earlier.read_bytes() == b"an earlier result"


def test_motions_are_arrays_tables_and_data_frames(video):
    motion = video.motion
    assert np.asarray(motion).shape == (13, 58) and len(motion) == 13
    frame = motion.to_frame()
    assert frame.index.name == "time" and frame.index[-1] == pytest.approx(12 / 25)
    assert list(frame.columns) == list(motion.space.names)
    assert np.array_equal(frame["jawOpen"], motion["jawOpen"]) and pd.DataFrame(motion.table()).shape == (13, 59)
    with pytest.raises(KeyError, match="jawOpen"):
        motion["jaw"]
    motion = MotionTrack(np.zeros((2, ARKIT.dim), np.float32), ARKIT)
    motion["jawOpen"][:] = 0.5
    assert motion.coefficients[:, ARKIT.index("jawOpen")].tolist() == [0.5, 0.5]


def test_emotions_side_by_side(talking_head, tmp_path):
    told = []
    options = {"size": 64, "on_progress": lambda *what: told.append(what)}
    video = compare_emotions(talking_head, SAMPLES, data.astronaut(), ("happy", "sad", "angry"), **options)
    assert [what for what in told if what[2] == 3] == [("motion", done, 3) for done in range(3)]
    video.columns = 2
    assert video.size == (128, 2 * (64 + 6)) and len(video) == 13
    frame = next(iter(video))
    assert frame.shape == (140, 128, 3) and not frame[70:, 64:].any(), "the fourth cell is empty"
    assert frame[:6, :64].max() > 200 and np.abs(frame[6:70, :64].astype(int) - frame[6:70, 64:]).mean() > 1
    saved = video_info(video.save(tmp_path / "o.mp4"))
    assert (saved.width, saved.height, saved.frames) == (128, 140, 13)
    plot = save_comparison_plot(tmp_path / "p.png", dict(zip(video.labels, (p.motion for p in video.panels), strict=True)))
    assert plot.stat().st_size > 20000


def test_a_notebook_shows_a_player_that_contains_the_video(video, tmp_path):
    html = video._repr_html_()
    kind, content = re.search(r'src="data:([^;]+);base64,([^"]+)"', html).groups()
    (tmp_path / "shown.mp4").write_bytes(base64.b64decode(content))
    assert kind == "video/mp4" and sum(1 for _ in read_frames(tmp_path / "shown.mp4")) == 13
    assert video._repr_html_() is html  # rendered once
    assert repr(video) == "<TalkingVideo: 13 frames of 64 x 64 pixels at 25 frames/s>"
