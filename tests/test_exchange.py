"""Heads and motion in the formats of other programs."""

import runpy
import socket
from pathlib import Path

import numpy as np
import pytest
from helpers import save_wav
from scipy.spatial.transform import Rotation
from skimage import data

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES, MotionTrack
from emotalker.coefficients.live_link import live_link_values
from emotalker.core.errors import DataError
from emotalker.exchange.avatar import animate_glb, arkit_name
from emotalker.exchange.bvh import read_bvh, write_bvh
from emotalker.exchange.gltf import accessor_values, load, pygltflib, read_glb_motion, write_glb
from emotalker.exchange.live import LiveLinkSender, VMCSender, read_live_link_packet, send_in_real_time
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.model import FaceModel
from emotalker.face.portrait import Portrait
from emotalker.face.texture import head_texture
from emotalker.video.image import save_image

EXPORT = Path(__file__).parent.parent / "scripts" / "export_motion.py"


@pytest.fixture(scope="module")
def portrait():
    return Portrait.from_image(data.astronaut(), FaceLandmarker(), FaceModel.load(), 256)


@pytest.fixture(scope="module")
def motion():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (30, ARKIT.dim)).astype(np.float32)
    values[:, ARKIT.pose] = rng.normal(0, 0.1, (30, 6))
    return MotionTrack(values, ARKIT)


@pytest.fixture(scope="module")
def glb(portrait, motion, tmp_path_factory):
    return write_glb(tmp_path_factory.mktemp("glb") / "head.glb", portrait, motion, "voice.wav")


def test_glb_round_trip(glb, motion):
    read = read_glb_motion(glb).coefficients
    assert np.array_equal(read[:, ARKIT.expression], motion.coefficients[:, ARKIT.expression])
    np.testing.assert_allclose(read[:, ARKIT.pose], motion.coefficients[:, ARKIT.pose], atol=1e-6)


def test_glb_is_the_fitted_head_in_metres(glb, portrait):
    gltf = load(glb)
    assert gltf.meshes[0].extras["targetNames"] == list(ARKIT_BLENDSHAPES) and gltf.asset.extras == {"audio": "voice.wav"}
    primitive = gltf.meshes[0].primitives[0]
    points = accessor_values(gltf, primitive.attributes.POSITION)
    moved = accessor_values(gltf, primitive.targets[ARKIT.index("jawOpen")]["POSITION"])
    rest = portrait.model.deform(portrait.fit.identity, portrait.fit.blendshapes[0] - portrait.removed)
    np.testing.assert_allclose(np.ptp(points, axis=0), np.ptp(rest, axis=0) / 100, rtol=0.05)
    assert moved[:, 1].min() < -0.02  # the jaw sinks by more than 2 cm
    normals = accessor_values(gltf, primitive.attributes.NORMAL)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)


def test_texture_shows_the_portrait(portrait):
    """Where the nose's tip and a cheek lie in the texture, it has the portrait's colour there."""
    texture, model = head_texture(portrait, 512), portrait.model
    for landmark in (4, 50, 280, 151):
        triangle = model.landmark_triangles[landmark]
        u, v = model.landmark_barycentric[landmark] @ model.uv[triangle]
        x, y = portrait.landmarks[landmark].astype(int)
        expected = portrait.image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)
        shown = texture[int((1 - v) * 512), int(u * 512)]
        assert np.abs(shown - expected).max() < 25, landmark


def test_avatar_of_others_is_animated(glb, portrait, motion, tmp_path):
    """An avatar with other spellings, more targets, a body below the head bone and an own animation."""
    library, gltf = pygltflib(), load(glb)
    names = [
        n.replace("Left", "_L").replace("Right", "_R") if n.endswith(("Left", "Right")) else n for n in ARKIT_BLENDSHAPES
    ]
    gltf.meshes[0].extras["targetNames"] = [f"Face.{name}" for name in names]
    gltf.nodes[0].name = "face"
    turned = Rotation.from_euler("y", 90, degrees=True)
    gltf.nodes += [
        library.Node(name="Hips", children=[2], rotation=turned.as_quat().tolist()),
        library.Node(name="mixamorig:Head", children=[0]),
    ]
    gltf.save_binary(str(tmp_path / "avatar.glb"))
    out = animate_glb(tmp_path / "avatar.glb", tmp_path / "animated.glb", motion)
    result = load(out)
    assert len(result.animations) == 1
    channels = {
        c.target.path: (c.target.node, result.animations[0].samplers[c.sampler].output) for c in result.animations[0].channels
    }
    assert channels["weights"][0] == 0 and channels["rotation"][0] == 2
    weights = accessor_values(result, channels["weights"][1]).reshape(30, 52)
    assert np.array_equal(weights, motion.coefficients[:, ARKIT.expression])
    local = Rotation.from_quat(accessor_values(result, channels["rotation"][1]))
    pitch, yaw, roll = motion.coefficients[5, ARKIT.pose][:3]
    expected = Rotation.from_euler("ZYX", [roll, yaw, pitch])
    assert ((turned * local[5] * turned.inv()).inv() * expected).magnitude() < 1e-5


@pytest.mark.parametrize(
    "target, name",
    [("jawOpen", "jawOpen"), ("Blend.mouthSmile_L", "mouthSmileLeft"), ("EYEBLINKRIGHT", "eyeBlinkRight"), ("smile", None)],
)
def test_target_names(target, name):
    assert arkit_name(target) == name


def test_damaged_glb_is_refused_in_one_sentence(glb, motion, tmp_path):
    whole = glb.read_bytes()
    rng = np.random.default_rng(3)
    cases = [b"", b"glTF", whole[:1000], whole[:-5000], b"x" + whole[1:]]
    for _ in range(20):
        damaged = bytearray(whole)
        for place in rng.integers(0, 30_000, 40):
            damaged[place] = rng.integers(256)
        cases.append(bytes(damaged))
    for content in cases:
        path = tmp_path / "bad.glb"
        path.write_bytes(content)
        for use in (read_glb_motion, lambda p: animate_glb(p, tmp_path / "out.glb", motion)):
            try:
                use(path)
            except DataError as error:
                assert "bad.glb" in str(error) and "\n" not in str(error)


def test_glb_without_arkit_targets_is_refused(glb, motion, tmp_path):
    gltf = load(glb)
    gltf.meshes[0].extras = {"targetNames": ["a", "b"]}
    gltf.save_binary(str(tmp_path / "other.glb"))
    with pytest.raises(DataError, match="no morph targets with ARKit's names"):
        animate_glb(tmp_path / "other.glb", tmp_path / "out.glb", motion)
    assert not (tmp_path / "out.glb").exists()


def test_glb_with_impossible_numbers_is_refused(glb, motion, tmp_path):
    """Values that are not finite, more numbers than memory has, nodes in a circle, times of years."""

    def weights(gltf):
        animation = gltf.animations[0]
        return next(animation.samplers[c.sampler] for c in animation.channels if c.target.path == "weights")

    def change(name, edit):
        gltf = load(glb)
        edit(gltf)
        gltf.save_binary(str(tmp_path / name))
        return tmp_path / name

    def put(gltf, accessor, values):
        view = gltf.bufferViews[gltf.accessors[accessor].bufferView]
        blob = bytearray(gltf.binary_blob())
        blob[view.byteOffset : view.byteOffset + 4 * len(values)] = np.array(values, "<f4").tobytes()
        gltf.set_binary_blob(bytes(blob))

    def endless(gltf):
        gltf.accessors[weights(gltf).output].bufferView = None
        gltf.accessors[weights(gltf).output].count = 10**15

    def circle(gltf):
        gltf.nodes += [pygltflib().Node(name="Head", children=[2]), pygltflib().Node(name="Neck", children=[1])]

    bad = [
        change("nan.glb", lambda gltf: put(gltf, weights(gltf).output, [np.nan])),
        change("years.glb", lambda gltf: put(gltf, weights(gltf).input, np.arange(30) * 1e8)),
        change("backwards.glb", lambda gltf: put(gltf, weights(gltf).input, np.arange(30)[::-1])),
        change("before.glb", lambda gltf: setattr(gltf.accessors[weights(gltf).output], "byteOffset", -(10**9))),
        change("endless.glb", endless),
    ]
    for path in bad:
        with pytest.raises(DataError, match=path.name) as error:
            read_glb_motion(path)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"circle\.glb is damaged"):
        animate_glb(change("circle.glb", circle), tmp_path / "out.glb", motion)
    assert not (tmp_path / "out.glb").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-30] + "\n1 2 3\n",
        lambda text: text[:-30] + " nan nan nan nan nan nan\n",
        lambda text: text.replace("Zrotation", "Wrotation"),
        lambda text: text.split("Frame Time:")[0],
        lambda text: text.split("\n0")[0].rsplit("\n", 40)[0],
        lambda text: text.replace("0.", "o."),
        lambda text: "\udcff" + text,
    ],
)
def test_malformed_bvh_is_refused_in_one_sentence(motion, tmp_path, change):
    path = write_bvh(tmp_path / "bad.bvh", motion)
    path.write_bytes(change(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"bad\.bvh") as error:
        read_bvh(path)
    assert "\n" not in str(error.value)


def test_export_command(portrait, motion, tmp_path, monkeypatch):
    """A head from a picture with the recording beside it; nothing is written if an input is missing."""
    motion.save(tmp_path / "m.npz")
    save_image(tmp_path / "p.png", data.astronaut())
    save_wav(tmp_path / "voice.wav", np.zeros(16000))

    def export(*arguments):
        monkeypatch.setattr("sys.argv", ["export_motion.py", "--coefficients", str(tmp_path / "m.npz"), *map(str, arguments)])
        runpy.run_path(str(EXPORT))

    out = tmp_path / "out"
    for audio, image in (("none.wav", "p.png"), ("voice.wav", "none.png"), ("m.npz", "p.png")):
        with pytest.raises(SystemExit):
            export("--image", tmp_path / image, "--audio", tmp_path / audio, "--output", out / "h.glb")
    with pytest.raises(SystemExit):
        export("--live-link", "--fps", 0, "--output", out / "take.csv")
    assert not list(out.iterdir())
    export("--image", tmp_path / "p.png", "--audio", tmp_path / "voice.wav", "--output", out / "h.glb")
    assert sorted(p.name for p in out.iterdir()) == ["h.glb", "h.wav"]
    assert load(out / "h.glb").asset.extras == {"audio": "h.wav"}


def test_bvh_round_trip(motion, tmp_path):
    np.testing.assert_allclose(
        read_bvh(write_bvh(tmp_path / "head.bvh", motion)), motion.coefficients[:, ARKIT.pose], atol=1e-6
    )
    (tmp_path / "bad.bvh").write_text("HIERARCHY")
    with pytest.raises(DataError, match=r"bad\.bvh"):
        read_bvh(tmp_path / "bad.bvh")


def receiver():
    """A UDP socket on a free port of this machine."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(5)
    return udp, udp.getsockname()[1]


def test_live_link_over_loopback(motion):
    udp, port = receiver()
    sender = LiveLinkSender(port=port, subject="Anna")
    with udp:
        assert send_in_real_time(motion.coefficients[:3], sender, fps=100) == 3
        packets = [read_live_link_packet(udp.recv(4096)) for _ in range(3)]
    sender.close()
    assert [p[0] for p in packets] == ["Anna"] * 3
    np.testing.assert_allclose([p[1] for p in packets], [0, 0.01, 0.02], atol=1e-4)
    np.testing.assert_array_equal([p[2] for p in packets], live_link_values(motion.coefficients[:3]))
    with pytest.raises(ValueError, match="no Live Link packet"):
        read_live_link_packet(b"\6abc")


def test_vmc_over_loopback(motion):
    from pythonosc.osc_bundle import OscBundle

    udp, port = receiver()
    with udp:
        VMCSender(port=port).send(motion.coefficients[4], 1.5)
        messages = [(m.address, m.params) for m in OscBundle(udp.recv(65536))]
    shapes = dict(params for address, params in messages if address == "/VMC/Ext/Blend/Val")
    assert len(shapes) == 52 and messages[-1][0] == "/VMC/Ext/Blend/Apply"
    assert shapes["jawOpen"] == pytest.approx(motion.coefficients[4, ARKIT.index("jawOpen")])
    (head,) = [params for address, params in messages if address == "/VMC/Ext/Bone/Pos"]
    assert head[0] == "Head" and np.linalg.norm(head[4:]) == pytest.approx(1, abs=1e-5)
