"""What is fuzzed: readers and parsers, each with valid files to begin with."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from emotalker.audio.io import load_audio
from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MotionTrack
from emotalker.coefficients.live_link import write_live_link
from emotalker.console.main import find
from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.jobs import read_jobs, resume
from emotalker.data.readers.folder import FolderReader
from emotalker.data.shards import Corpus, read_tar
from emotalker.data.writer import CorpusWriter
from emotalker.exchange.export import export_motion, load_motion
from emotalker.exchange.gltf import BinaryBuffer, add_channel, pygltflib, save
from emotalker.inference.emotion_track import EmotionTrack
from emotalker.inference.keyframes import GAZE_KEYS, POSE_KEYS, parse_keyframes
from emotalker.inference.options import control_from, framing_from, performance_from, style_from
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.tracking.result import TrackedVideo
from emotalker.video import VideoWriter, load_image, read_frames, video_info
from emotalker.video.random_access import VideoFrames

#: Folder of the prepared corpus of which single files are damaged, and where :func:`write_seeds` has put it.
CORPUS, SEEDS = "a prepared corpus", Path()


@dataclass(frozen=True)
class Target:
    """One way in.

    Attributes:
        suffixes: of the files it takes.
        run: called with a file and an empty folder for its outputs.
        weight: how often it is chosen, relative to the others.
    """

    suffixes: tuple[str, ...]
    run: Callable[[Path, Path], object]
    weight: int = 1


def _video(path: Path, _: Path) -> None:
    video_info(path)
    for index, _frame in enumerate(read_frames(path)):
        if index > 40:
            break
    frames = VideoFrames(path)
    count = sum(1 for _ in zip(frames, range(200), strict=False))
    list(frames.take([0, count // 2]))


def _checkpoint(path: Path, _: Path) -> None:
    read_metadata(path)
    load_checkpoint(path)


def _motion(path: Path, out: Path) -> None:
    motion = load_motion(path)
    export_motion(out / "m.csv", motion)
    export_motion(out / "m.bvh", motion)


def _corpus(path: Path, out: Path) -> None:
    """A manifest, a header or a shard in place of the corpus' own."""
    folder = out / "corpus"
    shutil.copytree(SEEDS / CORPUS, folder)
    name = {".json": "corpus.json", ".jsonl": "manifest.jsonl", ".tar": "shard-00000.tar"}[path.suffix]
    shutil.copyfile(path, folder / name)
    if path.suffix == ".tar":
        read_tar(folder / name)
    for clip in Corpus(folder).clips[:3]:
        _ = clip.motion, clip.audio, clip.split


def _list(path: Path, out: Path) -> None:
    jobs = read_jobs(path, ("audio", "image"))
    resume(jobs, path)
    for job in jobs[:5]:
        job.arguments()


def _options(path: Path, _: Path) -> None:
    """Options of ``infer`` and ``render`` without their work."""
    line = path.read_bytes().decode("utf-8", "replace").replace("\0", "")
    try:
        words = shlex.split(line)
    except ValueError:  # a quote without its end
        words = line.split()
    for parser in (find(["infer"]).parser(), find(["render"]).parser()):
        known = {action.dest for action in parser._actions}
        args = parser.parse_args(words)
        if "emotion" in known:
            style_from(args), performance_from(args)
        framing_from(args), control_from(args)


def _keyframes(path: Path, _: Path) -> None:
    content = path.read_bytes().decode("utf-8", "replace")
    for keys in (POSE_KEYS, GAZE_KEYS):
        parse_keyframes(content, keys)


def _names(path: Path, out: Path) -> None:
    """Names of files in a corpus, one a line."""
    folder = out / "videos"
    folder.mkdir()
    for line in path.read_bytes().split(b"\n")[:20]:
        name = line.replace(b"\0", b"").replace(b"/", b"")[:200]
        if name not in (b"", b".", b".."):
            (Path(str(folder)) / name.decode("utf-8", "surrogateescape")).touch()
    clips = FolderReader(folder, pattern=r"(?P<speaker>\w+?)_(?P<emotion>\w+?)_(?P<level>\w+)", synthetic=False).clips()
    assert len({clip.id for clip in clips}) == len(clips)


TARGETS = {
    "audio": Target((".wav", ".flac", ".m4a", ".ogg"), lambda path, _: load_audio(path), 3),
    "image": Target((".png", ".jpg", ".webp", ".bmp", ".tiff", ".gif"), lambda path, _: load_image(path), 3),
    "video": Target((".mp4",), _video, 2),
    "motion": Target((".npz", ".csv", ".glb"), _motion, 3),
    "tracked": Target((".npz",), lambda path, _: TrackedVideo.load(path), 2),
    "checkpoint": Target((".safetensors",), _checkpoint, 3),
    "emotion track": Target((".csv",), lambda path, _: EmotionTrack.load(path), 2),
    "list": Target((".csv",), _list, 2),
    "corpus": Target((".json", ".jsonl", ".tar"), _corpus, 3),
    "options": Target((".txt",), _options, 2),
    "keyframes": Target((".txt",), _keyframes, 1),
    "names": Target((".txt",), _names, 1),
}


def write_seeds(folder: Path) -> dict[str, list[Path]]:
    """Small valid files for every target, below ``folder``, and a prepared corpus."""
    global SEEDS
    SEEDS = folder
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sound = np.sin(np.arange(4800) * 0.2).astype(np.float32) * 0.3
    motion = MotionTrack(rng.uniform(0, 0.4, (6, ARKIT.dim)).astype(np.float32), ARKIT)
    for name in TARGETS:
        (folder / name).mkdir(parents=True)
    place = folder / "audio"
    with VideoWriter(folder / "video/v.mp4", 64, 48, 25, sound, 16000) as writer:
        for i in range(8):
            writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    _save_sounds(place, sound)
    picture = Image.fromarray(rng.integers(0, 255, (24, 32, 4), np.uint8), "RGBA")
    for suffix in TARGETS["image"].suffixes:
        kind = picture if suffix in (".png", ".webp", ".tiff") else picture.convert("RGB")
        kind.save(folder / "image" / f"p{suffix}")
    picture.convert("P").save(folder / "image/palette.png")
    Image.fromarray(rng.integers(0, 60000, (24, 32)).astype(np.uint16)).save(folder / "image/deep.png")
    motion.save(folder / "motion/m.npz")
    motion.save(folder / "motion/m.csv")
    write_live_link(folder / "motion/live.csv", motion.coefficients)
    _save_glb(folder / "motion/m.glb", motion)
    _save_tracked(folder / "tracked/t.npz", motion)
    network = VQVAE(VQVAEConfig(width=8, depth=1, code_dim=4, codebook_size=8, motion_dim=30))
    save_checkpoint(folder / "checkpoint/v.safetensors", network, space="arkit", extra={"data": [], "step": 3})
    (folder / "emotion track/e.csv").write_text("time,emotion,share,strength\n0,happy,0.7,1\n0,sad,0.3,1\n1.5,angry,1,0.5\n")
    (folder / "emotion track/va.csv").write_text("time,valence,arousal\n0,0.5,0.2\n1,-0.3,0.9\n")
    (folder / "list/jobs.csv").write_text("audio,image,output,emotion\na.wav,p.png,o1.mp4,happy\nb.wav,q.png,o2.mp4,\n")
    (folder / "options/o.txt").write_text(
        "--audio a.wav --image p.png --emotion happy:0.5,sad:0.2 --intensity 1.5 --pose 'yaw=0:0,50:15; pitch=1s:-5' "
        "--gaze 'yaw=0%:-10,100%:10' --size 256 --fps 50 --background #ff0000 --blinks 15 --temperature 0.8 --seed 3"
    )
    (folder / "options/r.txt").write_text("--coefficients m.npz --image p.png --framing full --face 1 --shading 0.5")
    (folder / "keyframes/k.txt").write_text("yaw=0:0,50:15,1s:3; pitch=10%:-5,100%:5; roll=3:1; shiftX=1:2")
    (folder / "names/n.txt").write_text("ann_happy_3.mp4\na b.mp4\na_b.mp4\n" + "x" * 120 + ".mp4\nbob_sad_two.mp4")
    writer = CorpusWriter(folder / CORPUS, ARKIT, "synthetic", "CC0")
    for i in range(3):
        writer.add(f"clip{i}", motion.coefficients, sound[: 6 * 640], emotion="happy")
    writer.close()
    for file, name in (("corpus.json", "h.json"), ("manifest.jsonl", "m.jsonl"), ("shard-00000.tar", "s.tar")):
        shutil.copyfile(folder / CORPUS / file, folder / "corpus" / name)
    return {name: sorted((folder / name).iterdir()) for name in TARGETS}


def _save_sounds(folder: Path, sound: np.ndarray) -> None:
    """The same second in several formats, mono and in six channels."""
    for name, codec, kind in (("a.wav", "pcm_s16le", "s16"), ("b.wav", "pcm_f32le", "flt"), ("c.flac", "flac", "s16")):
        _encode(folder / name, codec, kind, sound[None])
    _encode(folder / "d.m4a", "aac", "fltp", sound[None])
    _encode(folder / "e.ogg", "libopus", "flt", sound[None])
    _encode(folder / "f.wav", "pcm_s16le", "s16", np.repeat(sound[None], 6, 0))


def _encode(path: Path, codec: str, kind: str, channels: np.ndarray) -> None:
    layout = {1: "mono", 6: "5.1"}[len(channels)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000 if codec == "libopus" else 16000, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), "fltp", layout)
        frame.sample_rate = 16000
        resampler = av.AudioResampler(kind, layout, stream.rate, stream.codec_context.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def _save_glb(path: Path, motion: MotionTrack) -> None:
    """An animation of ARKit's blendshapes on a triangle."""
    library = pygltflib()
    names = list(ARKIT_BLENDSHAPES)
    node = library.Node(mesh=0)
    gltf = library.GLTF2(scene=0, scenes=[library.Scene(nodes=[0])], nodes=[node])
    buffer = BinaryBuffer(gltf)
    corners = buffer.accessor(np.eye(3, dtype=np.float32), library.ARRAY_BUFFER, limits=True)
    part = library.Primitive(attributes=library.Attributes(POSITION=corners), targets=[{"POSITION": corners}] * len(names))
    gltf.meshes.append(library.Mesh(primitives=[part], weights=[0.0] * len(names), extras={"targetNames": names}))
    frames = motion.coefficients
    times = buffer.accessor((np.arange(len(frames), dtype=np.float32) / 25)[:, None], limits=True)
    weights = buffer.accessor(np.ascontiguousarray(frames[:, ARKIT.expression]).reshape(-1, 1))
    animation = library.Animation()
    add_channel(animation, 0, "weights", times, weights)
    gltf.animations.append(animation)
    buffer.finish()
    save(gltf, path)


def _save_tracked(path: Path, motion: MotionTrack) -> None:
    frames = len(motion.coefficients)
    TrackedVideo(
        motion, np.ones(frames), np.ones(frames, bool), np.array([[0, frames]]), np.zeros((1, 10)), np.zeros((1, 6)),
        np.zeros((1, 52)), np.ones((1, 2)), 25.0, (64, 48), "mediapipe", "blendshapes",
    ).save(path)  # fmt: skip
