"""Neural renderers: networks, training on prepared clips through the script, and rendering behind the common interface."""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data

from emotalker.coefficients import ARKIT
from emotalker.core.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from emotalker.core.errors import CheckpointError, DataError, MissingExtraError
from emotalker.core.launch import CONFIGS, compose
from emotalker.data.face_videos import CORPORA, FaceVideo
from emotalker.data.reenactment import Reenactment
from emotalker.data.renderer_frames import REACH, clip_frames, load_clip_frames, prepare_clips, windows_around
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.inference.options import add_renderer_options, renderer_from
from emotalker.models.renderer import (
    FaceRefiner,
    GeneratorConfig,
    PatchDiscriminator,
    PortraitGenerator,
    RefinerConfig,
    flow_warp,
)
from emotalker.models.vqvae import VQVAE, VQVAEConfig
from emotalker.render.enhancer import EnhancedRenderer, Gfpgan, similarity_transform
from emotalker.render.face_box import FaceBox, cut, spread
from emotalker.render.neural_renderer import NeuralRenderer, renderer_factory, windows
from emotalker.render.warp_renderer import WarpRenderer
from emotalker.settings.renderer import RendererData, RendererLoss, RendererTraining
from emotalker.training import perceptual, renderer
from emotalker.training.renderer_examples import RendererFrames
from emotalker.training.sampling import Key
from emotalker.video.writer import VideoWriter

SIZE = 96
TINY = [
    "refiner.size=32", "refiner.channels=[4,4,8]", "refiner.latent=8", "refiner.blocks=1", "discriminator.channels=4",
    "loss.perceptual=0", "loss.adversarial_after=1", "data.validation_frames=3", "batch_size=2", "steps=6",
    "validate_every=3", "save_every=2", "log_every=1", "cpu=true", "threads=1", "optimizer.warmup=2",
]  # fmt: skip
GENERATOR = ["preset=paper", "generator.size=32", "generator.base=4", "generator.widest=8", "generator.latent=8"]
GENERATOR += ["generator.warp_depth=3", "generator.edit_depth=2", "precision=no", "workers=0"]


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker()


@pytest.fixture(scope="module")
def portrait(landmarker):
    return Portrait.from_image(data.astronaut(), landmarker, FaceModel.load(), SIZE, keep_expression=1.0)


@pytest.fixture(scope="module")
def motion():
    vector = np.zeros((9, ARKIT.dim), np.float32)
    vector[:, ARKIT.index("jawOpen")] = np.linspace(0, 0.5, 9)
    vector[:, ARKIT.pose.start + 1] = np.linspace(0, 0.1, 9)
    return vector


@pytest.fixture(scope="module")
def film(portrait, motion):
    return list(WarpRenderer(portrait).render(motion))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, portrait, motion, film):
    """Clips whose real frames are the warp's, darker at the mouth's height: what a refiner has to learn."""
    root = tmp_path_factory.mktemp("prepared")
    javanese = CORPORA[0]
    real = np.array(film)
    real[:, SIZE // 2 :] = (0.7 * real[:, SIZE // 2 :]).astype(np.uint8)
    clip = Reenactment(portrait, real, motion, np.repeat(portrait.landmarks[None], len(motion), 0).astype(np.float32))
    for person in ("01", "02", "07"):
        video = FaceVideo(Path(f"{person}-01-01_01.mp4"), person, javanese)
        frames = clip_frames(clip, video, WarpRenderer, 6)
        with open(root / f"javanese_{video.path.stem}.npz", "wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in vars(frames).items()})
    return root


def settings(prepared: Path, run: Path, *more: str) -> RendererTraining:
    return compose(RendererTraining, [*TINY, f"run={run}", f"data.root={prepared}", *more])


def trained_refiner(**changes) -> FaceRefiner:
    """A small refiner with random output layers."""
    torch.manual_seed(0)
    network = FaceRefiner(RefinerConfig(**{"size": 32, "channels": (4, 4, 8), "latent": 8, "blocks": 1, **changes})).eval()
    torch.nn.init.normal_(network.leave.weight, 0, 0.5)
    return network


# networks


def test_an_untrained_refiner_changes_nothing_and_a_trained_one_spares_the_border():
    source, warped, window = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), torch.randn(2, 5, 58)
    config = RefinerConfig(size=32, channels=(4, 4, 8), latent=8, blocks=1)
    made = FaceRefiner(config)(source, warped, window)
    assert torch.allclose(made.picture, warped, atol=1e-5) and torch.allclose(made.flowed, warped, atol=1e-5)
    network = trained_refiner()
    flow, edit = network.fields(source, warped, window)
    assert flow.shape == (2, 2, 32, 32) and edit.shape == (2, 3, 32, 32)
    assert edit.abs().max() > 0.01 and edit.abs().max() <= 0.5 and flow.abs().max() <= 0.06 * 32
    border = torch.ones(32, 32, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert edit[..., border].abs().max() < 0.1 * edit.abs().max()


def test_flow_warp_samples_where_the_flow_points():
    picture = torch.rand(1, 3, 16, 16)
    flow = torch.zeros(1, 2, 16, 16)
    assert torch.allclose(flow_warp(picture, flow), picture, atol=1e-5)
    flow[:, 0] = 3
    assert torch.allclose(flow_warp(picture, flow)[..., :-3], picture[..., 3:], atol=1e-5)
    flow[:, 1], flow[:, 0] = -2, 0
    assert torch.allclose(flow_warp(picture, flow)[..., 2:, :], picture[..., :-2, :], atol=1e-5)


@pytest.mark.parametrize("window", [1, 3, 5, 9, 13, 27])
def test_windows_of_any_length_are_mapped(window):
    network = trained_refiner(window=window, mapping_layers=3)
    assert network.mapping(torch.randn(2, window, 58)).shape == (2, 8)
    with pytest.raises(ValueError, match="odd number"):
        trained_refiner(window=4)


def test_the_papers_preset_is_pirender_s_size():
    config = compose(RendererTraining, ["preset=paper"])
    assert config.network == "generator" and config.generator.window == 27 and config.generator.latent == 256
    network = PortraitGenerator(GeneratorConfig(**asdict(config.generator)))
    assert 5e6 < sum(p.numel() for p in network.parameters()) < 3e7
    small = GeneratorConfig(size=32, base=4, widest=8, warp_depth=3, edit_depth=2, latent=8)
    made = PortraitGenerator(small)(torch.rand(2, 3, 32, 32), None, torch.randn(2, 27, 58))
    assert made.picture.shape == made.flowed.shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match="not divisible by 8"):
        PortraitGenerator(GeneratorConfig(size=36, warp_depth=3))
    assert PatchDiscriminator(4)(torch.rand(2, 3, 32, 32)).shape == (2, 1, 4, 4)


# data


def test_a_square_is_cut_out_and_put_back():
    picture = data.astronaut()[:128, 180:308]
    box = np.array([60.0, 64.0, 64.0], np.float32)
    assert np.array_equal(cut(picture, box, 64), picture[32:96, 28:92])
    values, part = spread(np.ones((32, 32, 3), np.float32), box, picture.shape[:2])
    assert part == (slice(32, 96), slice(28, 92)) and values[8:-8, 8:-8].min() == 1
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None], (32, 1, 3))
    assert np.all(np.diff(spread(ramp, box, picture.shape[:2])[0][20, 4:-4, 0]) > 0)


def test_the_square_follows_the_head(portrait):
    box = FaceBox(portrait)
    rest, moved = box(np.zeros(6)), box(np.array([0, 0, 0, 1.0, 0, 0]))
    pixels_per_cm = portrait.fit.camera.focal / -portrait.fit.translation[0, 2]
    assert moved[0] - rest[0] == pytest.approx(pixels_per_cm, rel=0.2) and moved[1] == pytest.approx(rest[1], abs=1e-3)
    assert box(np.array([0, 0, 0, 0, 0, 5.0]))[2] > rest[2]


def test_examples_are_aligned_and_mirrored_together(prepared):
    clips = load_clip_frames(prepared, "train")
    assert len(clips) == 2 and len(clips[0]) == 6 and clips[0].licence == "research use"
    plain = RendererFrames(clips, 32, 5, crop=True)
    example = plain[Key(2, (0,))]
    assert {k: v.shape for k, v in example.items()} == {
        "source": (3, 32, 32), "target": (3, 32, 32), "warped": (3, 32, 32), "window": (5, 58), "mouth": (1, 32, 32),
    }  # fmt: skip
    assert np.abs(example["target"][:, :8] - example["warped"][:, :8]).mean() < 0.02
    assert (example["target"][:, 24:] < example["warped"][:, 24:]).mean() > 0.8
    assert example["window"][2] == pytest.approx(clips[0].windows[2, REACH])
    y, x = np.unravel_index(example["mouth"].argmax(), (1, 32, 32))[1:]
    assert 18 < y < 30 and 11 < x < 21
    always = RendererData(mirror=1.0, colour=0.0, shift=0.0)
    mirrored = RendererFrames(clips, 32, 5, crop=True, augmentation=always)[Key(2, (0,))]
    assert np.allclose(mirrored["warped"], example["warped"][..., ::-1], atol=0.01)
    assert np.allclose(mirrored["window"], ARKIT.mirrored(example["window"]))
    assert len(RendererFrames(clips, 32, 5, crop=False, limit=4)) == 4
    with pytest.raises(DataError, match="longer than the prepared 27"):
        RendererFrames(clips, 32, 29, crop=True)
    with pytest.raises(DataError, match="no clips of the split test"):
        load_clip_frames(prepared, "test")


def test_videos_are_prepared_once_and_bad_ones_are_reported(tmp_path, landmarker, film):
    javanese, videos = CORPORA[0], []
    for name, frames in (("01-01-01_01", film), ("02-01-01_01", [np.full((SIZE, SIZE, 3), 99, np.uint8)] * 3)):
        path = tmp_path / f"{name}.mp4"
        with VideoWriter(path, SIZE, SIZE, 25) as writer:
            for frame in frames:
                writer.write(frame)
        videos.append(FaceVideo(path, name[:2], javanese))
    count, failures = prepare_clips(tmp_path / "out", videos, landmarker, WarpRenderer, SIZE, 4)
    assert count == 4 and len(failures) == 1 and "02-01-01_01.mp4" in failures[0]
    assert prepare_clips(tmp_path / "out", videos[:1], landmarker, WarpRenderer, SIZE, 4) == (0, [])
    (tmp_path / "out/javanese_01-01-01_01.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="is damaged"):
        load_clip_frames(tmp_path / "out", "train")


# training


def test_the_refiner_learns_what_the_warp_lacks(prepared, tmp_path):
    options = ["steps=60", "validate_every=60", "loss.adversarial=0", "optimizer.learning_rate=5e-3", "batch_size=4"]
    values = renderer.train(settings(prepared, tmp_path / "run", *options))
    assert values["l1"] < 0.6 * values["warp_l1"]
    metadata = read_metadata(tmp_path / "run/best.safetensors")
    assert metadata.kind == "face_refiner" and metadata.extra["people"] == 2
    assert metadata.extra["data"] == [{"source": CORPORA[0].source, "licence": "research use"}]


@pytest.mark.parametrize("network", [[], GENERATOR], ids=["refiner", "generator"])
def test_a_resumed_run_ends_with_the_same_weights(prepared, tmp_path, network):
    more = [*network, "loss.adversarial=0.1"]
    whole = renderer.train(settings(prepared, tmp_path / "whole", *more))
    assert {"adversarial", "discriminator", "l1"} <= whole.keys() and np.isfinite(list(whole.values())).all()
    from emotalker.training.solver import Solver

    take_step = Solver._step

    def killed(self, batches):
        if self.progress.step == 5:
            raise KeyboardInterrupt
        return take_step(self, batches)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Solver, "_step", killed)
        renderer.train(settings(prepared, tmp_path / "cut", *more))
    assert renderer.train(settings(prepared, tmp_path / "cut", *more)) == whole
    first, second = (load_file(tmp_path / run / "state.safetensors") for run in ("whole", "cut"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_script_trains(prepared, tmp_path):
    script = Path(CONFIGS).parent / "scripts/train_renderer.py"
    command = [sys.executable, script, *TINY, f"run={tmp_path / 'run'}", f"data.root={prepared}", "steps=2"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["split"] == "val"] == [2]
    load_checkpoint(tmp_path / "run/best.safetensors", "face_refiner")


def test_the_discriminator_s_loss_does_not_move_the_renderer_and_the_other_way_round():
    batch = {name: torch.rand(2, 3, 32, 32) for name in ("source", "target", "warped")}
    batch |= {"window": torch.randn(2, 5, 58), "mouth": torch.zeros(2, 1, 32, 32)}
    loss = RendererLoss(l1=0, flowed=0, perceptual=0, adversarial=1, adversarial_after=0)
    objective = renderer.RendererObjective(trained_refiner(), loss, None, PatchDiscriminator(4)).train()
    weights = list(objective.discriminator.parameters())
    terms = objective(batch, 0)
    assert all(g is None for g in torch.autograd.grad(terms["adversarial"], weights, retain_graph=True, allow_unused=True))
    of_model = list(objective.model.parameters())
    assert all(g is None for g in torch.autograd.grad(terms["discriminator"], of_model, retain_graph=True, allow_unused=True))
    assert torch.autograd.grad(terms["adversarial"], objective.model.leave.weight)[0].abs().sum() > 0


def test_perceptual_distance_reads_the_published_names(tmp_path, monkeypatch):
    torch.manual_seed(0)
    made = perceptual.PerceptualDistance()
    assert not any(p.requires_grad for p in made.parameters())
    published = {perceptual._published(name): value for name, value in made.state_dict().items()}
    assert {"_conv_stem.weight", "_bn0.running_mean", "_blocks.1._expand_conv.weight", "_blocks.5._bn2.bias"} <= set(
        published
    )
    monkeypatch.setattr(perceptual, "resolve", lambda name, path=None: path)
    torch.save(published, tmp_path / "weights.pth")
    loaded = perceptual.PerceptualDistance.load(tmp_path / "weights.pth")
    a, b = torch.rand(2, 1, 3, 64, 64)
    assert loaded(a, b) == made(a, b) > 0 and loaded(a, a) == 0
    torch.save({"other": torch.ones(1)}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="no weights of EfficientNet-Lite0"):
        perceptual.PerceptualDistance.load(tmp_path / "weights.pth")


# rendering


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("reach", [0, 1, 2, 3])
def test_windows_of_a_stream_are_those_of_the_whole(length, reach):
    motion = np.arange(length, dtype=np.float32)[:, None]
    made = list(windows(iter(motion), reach))
    expected = windows_around(motion, np.arange(length), reach) if length else np.zeros((0, 2 * reach + 1, 1))
    assert np.array_equal(np.reshape(made, expected.shape), expected)


def test_an_untrained_refiner_renders_the_warp(portrait, motion, film):
    network = FaceRefiner(RefinerConfig(size=32, channels=(4, 4, 8), latent=8)).eval()
    frames = list(NeuralRenderer(portrait, network).render(iter(motion)))
    assert len(frames) == len(motion) and frames[0].dtype == np.uint8
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(frames, film, strict=True)) <= 1


def test_a_trained_refiner_changes_the_face_only(portrait, motion, film):
    frames = list(NeuralRenderer(portrait, trained_refiner()).render(motion))
    for frame, warped, row in zip(frames, film, motion, strict=True):
        x, y, side = FaceBox(portrait)(row[ARKIT.pose])
        changed = np.abs(frame.astype(int) - warped).max(-1) > 2
        rows, columns = np.nonzero(changed)
        assert len(rows) > 100 and np.abs(columns - x).max() <= side / 2 + 1 and np.abs(rows - y).max() <= side / 2 + 1


def test_a_generator_renders_at_the_portrait_s_size(portrait, motion):
    network = PortraitGenerator(GeneratorConfig(size=32, base=4, widest=8, warp_depth=3, edit_depth=2, latent=8)).eval()
    frames = list(NeuralRenderer(portrait, network).render(motion))
    assert len(frames) == len(motion) and frames[0].shape == (SIZE, SIZE, 3)


def arguments(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_renderer_options(parser)
    return argparse.Namespace(**vars(parser.parse_args(options)), shading=0.0, device="cpu")


def test_options_choose_the_renderer(portrait, tmp_path):
    path = save_checkpoint(tmp_path / "r.safetensors", trained_refiner(), space="arkit")
    chosen = renderer_from(arguments("--renderer", "neural", "--renderer-checkpoint", str(path)))(portrait)
    assert isinstance(chosen, NeuralRenderer) and isinstance(renderer_from(arguments())(portrait), WarpRenderer)


def test_a_missing_or_other_network_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        renderer_factory("neural", tmp_path / "none.safetensors")
    other = save_checkpoint(tmp_path / "v.safetensors", VQVAE(VQVAEConfig(width=8, depth=1, codebook_size=8)))
    with pytest.raises(CheckpointError, match="contains no renderer but a VQVAE"):
        renderer_factory("neural", other)

    def nothing(name):
        raise CheckpointError("missing")

    monkeypatch.setattr("emotalker.render.neural_renderer.shipped", nothing)
    with pytest.raises(CheckpointError, match=r"train one with scripts/train_renderer.py .* or use --renderer warp"):
        renderer_factory("neural")


# enhancer


def fake_spandrel(monkeypatch, architecture: str = "GFPGAN") -> None:
    """A package whose network halves colours about grey."""
    module = ModuleType("spandrel")

    class ModelLoader:
        def __init__(self, device):
            pass

        def load_from_file(self, path):
            network = torch.nn.Module()
            network.forward = lambda x: (0.5 * x, [])
            return SimpleNamespace(architecture=SimpleNamespace(id=architecture), model=network)

    module.ModelLoader = ModelLoader
    monkeypatch.setitem(sys.modules, "spandrel", module)


def test_the_enhancer_needs_its_package_and_its_weights(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emotalker\[enhancer\]'"):
        Gfpgan(tmp_path / "GFPGANv1.4.pth")
    fake_spandrel(monkeypatch)
    with pytest.raises(CheckpointError, match=r"is not a file; download GFPGANv1\.4\.pth"):
        Gfpgan(tmp_path / "GFPGANv1.4.pth")
    with pytest.raises(CheckpointError, match="--enhancer-weights"):
        renderer_from(arguments("--enhancer", "gfpgan"))
    (tmp_path / "other.pth").write_bytes(b"x")
    fake_spandrel(monkeypatch, "ESRGAN")
    with pytest.raises(CheckpointError, match="contains ESRGAN, not GFPGAN"):
        Gfpgan(tmp_path / "other.pth")


def test_the_enhancer_restores_the_face_only(portrait, motion, film, tmp_path, monkeypatch):
    fake_spandrel(monkeypatch)
    (tmp_path / "g.pth").write_bytes(b"x")
    options = arguments("--enhancer", "gfpgan", "--enhancer-weights", str(tmp_path / "g.pth"))
    chosen = renderer_from(options)(portrait)
    assert isinstance(chosen, EnhancedRenderer)
    plain = list(WarpRenderer(portrait, shading=0.0).render(motion))
    for frame, warped in zip(chosen.render(motion), plain, strict=True):
        x, y = portrait.landmarks.mean(0).astype(int)
        assert frame[y, x] == pytest.approx((warped[y, x].astype(float) - 127.5) / 2 + 127.5, abs=3)
        assert np.array_equal(frame[:4], warped[:4]) and np.array_equal(frame[:, :4], warped[:, :4])


def test_similarity_transform_recovers_turn_scale_and_shift():
    points = np.random.default_rng(0).normal(0, 10, (5, 2))
    turn = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    matrix = similarity_transform(points, points @ turn.T + [4, -2])
    assert np.allclose(matrix, np.column_stack([turn, [4, -2]]))
