"""Distillation of the face reader: which input components are kept, and that a student approaches its teacher."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from emotalker.core.checkpoint import read_metadata, save_checkpoint
from emotalker.settings.networks import FaceReaderConfig
from emotalker.synthetic.dataset import load_faces, save_faces
from emotalker.synthetic.observation import EYE_DIM, MOUTH_DIM, POINTS_DIM, FaceFeatures, extract_features
from emotalker.synthetic.reader import SyntheticFaceReader
from emotalker.synthetic.sources import FaceSources
from emotalker.training.distillation import reduce_inputs
from emotalker.training.face_examples import fit_whitening
from tests.test_training_runs import SHORT

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    root, sources = tmp_path_factory.mktemp("faces"), FaceSources()
    for number in range(8):
        save_faces(root / f"{number}.npz", sources.synthetic(7100 + number)[::2])
    (root / "faces.json").write_text('{"synthetic": true, "source": "synthetic", "licence": "CC0"}')
    return root


def test_the_components_used_by_the_members_are_kept():
    torch.manual_seed(0)
    config = FaceReaderConfig(mouth=12, eye=10, landmarks=8, hidden=16, members=2, dropout=0.5)
    teacher = SyntheticFaceReader(config).eval()
    for whitening in (teacher.of_mouth, teacher.of_eye, teacher.of_landmarks):
        whitening.basis.copy_(torch.linalg.qr(torch.randn_like(whitening.basis))[0])
    scales = torch.cat([torch.linspace(3, 0.3, n) for n in (12, 8, 10, 10)])  # the first components have most variance
    with torch.no_grad():
        for member in teacher.members:  # only the last ones are used: two of the mouth, three of an eye, two of the landmarks
            member.mouth[0].weight *= torch.cat([torch.arange(n) >= n - k for n, k in 2 * [(12, 2)] + 2 * [(8, 2)]])
            member.eyes[0].weight *= torch.cat([torch.arange(n) >= n - k for n, k in 4 * [(10, 3)] + 2 * [(8, 2)]])
    few = reduce_inputs(teacher, FaceReaderConfig(mouth=2, eye=3, landmarks=2), torch.randn(500, 40) * scales)
    assert few.of_mouth.basis.shape == (teacher.of_mouth.basis.shape[0], 2) and len(few.members) == 2
    features = FaceFeatures(*(torch.randn(30, *shape) for shape in ((MOUTH_DIM,), (2, EYE_DIM), (POINTS_DIM,))))
    outputs = (reader(reader.describe(features), reader.describe(features.mean())) for reader in (teacher, few.train()))
    for expected, found in zip(*(output[:2] for output in outputs), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_a_student_approaches_its_teacher_and_resumes_exactly(faces, tmp_path):
    torch.manual_seed(0)
    teacher = SyntheticFaceReader(FaceReaderConfig(mouth=30, eye=30, landmarks=30, hidden=32, members=3)).eval()
    crops = load_faces(faces)
    features = extract_features(crops.image, crops.found, crops.scores)
    fit_whitening(teacher, features)
    source = {"source": "training data of the teacher", "licence": "CC0"}
    save_checkpoint(tmp_path / "teacher.safetensors", teacher, extra={"data": [source]})

    def train(run: str, steps: int) -> SyntheticFaceReader:
        # in a subprocess, because accelerate allows one precision per process and this run is bf16
        options = [f"run={tmp_path / run}", f"data.root=[{faces}]", "data.weights=[1]", *SHORT]
        options += ["workers=0", f"teacher={tmp_path / 'teacher.safetensors'}", "loss.distillation=1", "loss.noise=0"]
        options += ["model={mouth: 20, eye: 20, landmarks: 20, hidden: 32, members: 1, dropout: 0}", f"steps={steps}"]
        options += [
            "optimizer.final=1",
            "batch_size=32",
            "optimizer.learning_rate=3e-3",
            "save_every=100",
            "validate_every=100",
        ]
        subprocess.run([sys.executable, SCRIPTS / "train_face_reader.py", *options], check=True, stdout=subprocess.DEVNULL)
        return SyntheticFaceReader.from_pretrained(tmp_path / run / "last.safetensors")

    student = train("whole", 40)
    train("cut", 20)
    resumed = train("cut", 40)
    for name, value in student.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with torch.no_grad():
        expected, _, _ = teacher(teacher.describe(features), teacher.describe(features.mean()))
        found, _, _ = student(student.describe(features), student.describe(features.mean()))
    assert (found - expected.mean(0)).square().mean() < 0.5 * (expected[:1] - expected.mean(0)).square().mean()
    sources = [entry["source"] for entry in read_metadata(tmp_path / "whole/best.safetensors").extra["data"]]
    assert sources == ["synthetic", source["source"]]
