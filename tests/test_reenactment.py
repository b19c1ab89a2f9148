"""Self-reenactment: motion relative to the first frame, measures against hand cases, and the table of the command."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from emotalker.coefficients import ARKIT
from emotalker.core.errors import DataError, FaceNotFoundError
from emotalker.data.face_videos import CORPORA, FaceVideo, evenly, find_face_videos
from emotalker.data.reenactment import read_reenactment, reenactment
from emotalker.evaluation import reenactment as measures
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.video.writer import VideoWriter

SIZE, OPEN = 192, ARKIT.index("jawOpen")


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def known():
    """Motion ``(7, 58)``: still, then the jaw opens, then the head turns."""
    motion = np.zeros((7, ARKIT.dim), np.float32)
    motion[2:, OPEN] = [0.2, 0.4, 0.4, 0.4, 0.4]
    motion[4:, ARKIT.pose.start + 1] = [0.05, 0.1, 0.15]
    return motion


@pytest.fixture(scope="module")
def film(landmarker, known):
    portrait = Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), SIZE)
    return list(WarpRenderer(portrait, shading=0).render(known))


@pytest.fixture(scope="module")
def clip(landmarker, film):
    return reenactment(film, landmarker, FaceModel.load(), SIZE)


@pytest.fixture(scope="module")
def root(tmp_path_factory, film):
    """A folder with one Javanese clip of a test actor and one of a training actor."""
    folder = tmp_path_factory.mktemp("corpora")
    for name in ("08-01-01_01", "01-01-01_01"):
        (folder / "javanese").mkdir(exist_ok=True)
        with VideoWriter(folder / f"javanese/{name}.mp4", SIZE, SIZE, 25) as writer:
            for frame in film:
                writer.write(frame)
    return folder


def test_motion_is_tracked_from_the_first_frame(clip, known):
    assert len(clip) == 7 and clip.frames.shape == (7, SIZE, SIZE, 3)
    jaw = clip.motion[:, OPEN] - clip.motion[0, OPEN]
    assert abs(jaw[1]) < 0.05 and np.corrcoef(jaw, known[:, OPEN])[0, 1] > 0.95
    yaw = clip.motion[:, ARKIT.pose.start + 1]
    assert abs(yaw[0]) < 1e-6 and yaw[6] == pytest.approx(0.15, abs=0.05)


def test_the_first_frame_renders_itself(clip):
    (frame,) = WarpRenderer(clip.portrait).render(clip.motion[:1])
    ssim, psnr = measures.similarity(frame, clip.frames[0])
    assert ssim > 0.98 and psnr > 33


def test_frames_without_a_face_are_left_out(landmarker, film):
    blank = np.full((SIZE, SIZE, 3), 128, np.uint8)
    clip = reenactment([blank, film[0], blank, film[2]], landmarker, FaceModel.load(), SIZE)
    assert len(clip) == 2
    with pytest.raises(FaceNotFoundError, match="no face found in grey"):
        reenactment([blank], landmarker, FaceModel.load(), SIZE, name="grey")
    with pytest.raises(FaceNotFoundError, match="one frame only"):
        reenactment([film[0], blank], landmarker, FaceModel.load(), SIZE)


def test_moving_the_face_is_nearer_to_the_real_frames_than_a_still_picture(clip, landmarker):
    made = measures.rendered(clip, WarpRenderer(clip.portrait, shading=0), every=1)
    moved = measures.compare(clip, made, landmarker, every=1)
    still = measures.compare(clip, np.repeat(clip.frames[:1], 6, 0), landmarker, every=1)
    better = dict(zip(measures.MEASURES, moved - still, strict=True))
    assert all(better[name] > 0 for name in ("SSIM", "PSNR, dB", "SSIM, face", "PSNR, face, dB"))
    assert all(better[name] < 0 for name in ("F-LMD", "M-LMD", "F-LMD, centred", "M-LMD, centred"))
    assert moved[measures.MEASURES.index("SSIM")] > 0.9 and moved[measures.MEASURES.index("M-LMD")] < 1.5


def test_real_frames_equal_themselves(clip, landmarker):
    values = measures.compare(clip, measures.rendered(clip, None, 3), landmarker, every=3)
    named = dict(zip(measures.MEASURES, values, strict=True))
    assert named["SSIM"] == pytest.approx(1) and named["PSNR, dB"] == 60 and named["F-LMD"] < 0.3


def test_similarity_is_the_field_s():
    rng = np.random.default_rng(0)
    a = data.astronaut()[:96, 180:276]
    b = np.clip(a + rng.normal(0, 12, a.shape), 0, 255).astype(np.uint8)
    ssim, psnr = measures.similarity(a, b)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    reference = structural_similarity(a, b, channel_axis=2, **options)[1].mean()  # with the border
    assert ssim == pytest.approx(reference, abs=0.002)
    assert psnr == pytest.approx(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)), abs=1e-3)


def test_people_of_one_split_are_in_no_other(root, tmp_path):
    assert [(v.person, v.split) for v in find_face_videos(root)] == [("01", "train"), ("08", "test")]
    assert [v.person for v in find_face_videos(root, "test")] == ["08"]
    with pytest.raises(DataError, match="has no test videos in any of javanese"):
        find_face_videos(tmp_path, "test")
    mead = next(corpus for corpus in CORPORA if corpus.name == "mead")
    videos = [FaceVideo(Path(f"{p}_front_sad_level3_00{i}.mp4"), p, mead) for p in ("M030", "W009") for i in range(3)]
    assert {v.person for v in videos if v.split == "test"} == {"W009"}
    assert [v.path.stem[-1] for v in evenly(videos[:3], 2)] == ["0", "2"] and evenly(videos, 9) == videos


def test_the_command_compares_with_the_real_frames(root, tmp_path, landmarker):
    videos = find_face_videos(root, "test")
    results = measures.evaluate(
        videos, {"warp": WarpRenderer}, landmarker, FaceModel.load(), SIZE, every=2, sheets=tmp_path / "sheets"
    )
    table = measures.reenactment_table(results)
    lines = table.splitlines()
    assert lines[2].startswith("| javanese, real") and lines[3].startswith("| javanese, still")
    assert lines[4].startswith("| javanese, warp")
    assert lines[2].count(" - |") == len(measures.MEASURES)
    assert (tmp_path / "sheets/javanese_08-01-01_01.png").is_file()
    assert len(read_reenactment(videos[0].path, landmarker, FaceModel.load(), SIZE, frames=3)) == 3
