"""What a wheel contains: the package works outside a checkout."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotalker.core import carriers
from emotalker.core.carriers import Carrier

ROOT = Path(__file__).parent.parent
LOOK = """
import emotalker
from emotalker.core.launch import CONFIGS
from emotalker.core.shipped import shipped_folder
from emotalker.inference.demo import DEMO_PORTRAIT, DEMO_VOICE

print(emotalker.__file__, CONFIGS, DEMO_PORTRAIT, DEMO_VOICE, sep="\\n")
print(shipped_folder("checkpoints", "small"), shipped_folder("checkpoints", "tracker"), sep="\\n")
"""


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools")
def test_a_wheel_carries_weights_presets_and_the_demo(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    command += ["build_py", "--build-lib", str(tmp_path / "lib")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lib")}
    looked = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert looked.returncode == 0, looked.stderr
    found = [Path(line) for line in looked.stdout.split()]
    assert all(path.exists() and path.is_relative_to(tmp_path / "lib") for path in found), looked.stdout
    for name in ("small", "tracker"):
        shipped, source = tmp_path / "lib/emotalker/checkpoints" / name, ROOT / "checkpoints" / name
        assert sorted(p.name for p in shipped.iterdir()) == sorted(p.name for p in source.iterdir())
    assert (tmp_path / "lib/emotalker/py.typed").exists()
    assert (tmp_path / "lib/emotalker/configs/vqvae/preset/paper.yaml").exists()


def test_without_pip_a_model_comes_through_uv(tmp_path, monkeypatch):
    """uv's environments have no pip."""
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\narguments = sys.argv[1:]\n"
        "assert arguments[:2] == ['pip', 'install'] and arguments[-1] == 'toy==1.0', arguments\n"
        "folder = pathlib.Path(arguments[arguments.index('--target') + 1], 'toy')\n"
        "folder.mkdir()\n(folder / 'a.bin').write_bytes(b'weights')\n"
    )
    uv.chmod(0o755)
    monkeypatch.setattr(carriers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("UV", str(uv))
    assert Carrier("toy", "1.0", "toy/a.bin").fetch() == b"weights"
