"""Failing disks, killed programs, and two programs at once."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.io import savemat

from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.errors import ConfigError, EmoTalkerError, OutputError
from emotalker.core.launch import compose
from emotalker.core.processes import only_one
from emotalker.data import CorpusWriter
from emotalker.data.prepare import prepare
from emotalker.settings.corpora import Preparation
from emotalker.settings.vqvae import VQVAETraining
from emotalker.training import vqvae
from emotalker.video import VideoWriter

MOTION = MotionTrack(np.random.default_rng(0).uniform(0, 0.4, (40, ARKIT.dim)).astype(np.float32), ARKIT)


class Disk:
    """Fails the n-th change of a file below a folder: opening for writing, renaming, removing, making a folder."""

    def __init__(self):
        self.left = self.folder = None
        sys.addaudithook(self._hook)

    def fail(self, n, folder):
        self.left, self.folder = n, os.fspath(folder)

    def works(self):
        """Stop failing; returns whether the n-th change was reached."""
        reached, self.left = self.left is not None and self.left <= 0, None
        return reached

    def _hook(self, event, arguments):
        if self.left is None or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.folder):
            return
        if event == "open" and not (any(c in (arguments[1] or "") for c in "wax+") or (arguments[2] or 0) & os.O_CREAT):
            return
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)


@pytest.fixture(scope="module")
def disk():
    return Disk()


@pytest.fixture(scope="module")
def mats(tmp_path_factory):
    """A folder of 3DMM coefficients, which need no video to be prepared."""
    root = tmp_path_factory.mktemp("mats")
    for i in range(3):
        savemat(root / f"M003_front_happy_level1_00{i}.mat", {"coeff": np.random.default_rng(i).normal(0, 0.3, (30, 257))})
    return root


def save_motion(folder, given):
    MOTION.save(folder / "m.npz")


def save_table(folder, given):
    MOTION.save(folder / "m.csv")


def save_video(folder, given):
    with VideoWriter(folder / "v.mp4", 64, 64, 25, np.zeros(3200, np.float32), 16000) as writer:
        for i in range(5):
            writer.write(np.full((64, 64, 3), 40 * i, np.uint8))


def settings(root, out, **changes):
    corpus = {"reader": "bfm_mat", "source": "synthetic", "licence": "CC0"}
    return Preparation(**{"corpus": corpus, "root": str(root), "out": str(out), "clips_per_shard": 2, "workers": 1} | changes)


def prepare_corpus(folder, given):
    prepare(settings(given["mats"], folder / "out"))


def train(folder, given):
    overrides = ["steps=2", "batch_size=4", "validate_every=1", "save_every=1", "cpu=true", "optimizer.warmup=1"]
    overrides += ["model.width=16", "model.depth=2", "model.code_dim=8", "model.codebook_size=16", "data.frames=32"]
    vqvae.train(compose(VQVAETraining, [*overrides, f"data.root={given['corpus']}", f"run={folder / 'run'}"]))


def contents(folder):
    """All files by name: tensors of checkpoints, whose descriptions name their folder, and bytes of others but logs."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".jsonl")
    return {path.relative_to(folder).as_posix(): _content(path) for path in files if not path.name.startswith(".lock")}


def _content(path):
    if path.suffix != ".safetensors" or path.name.startswith("."):
        return path.read_bytes()
    return {name: value.tobytes() for name, value in load_file(path).items()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    writer = CorpusWriter(tmp_path_factory.mktemp("corpus"), ARKIT, "synthetic", "CC0")
    for i in range(25):
        motion = 0.3 + 0.3 * np.sin(np.arange(40)[:, None] * 0.3 + np.arange(58) + i)
        writer.add(f"clip{i}", motion, np.zeros(40 * 640), emotion="happy")
    writer.close()
    return writer.root


@pytest.mark.parametrize("work", [save_motion, save_table, save_video, prepare_corpus, train], ids=lambda work: work.__name__)
def test_a_disk_that_fails_at_any_moment_costs_nothing(work, disk, mats, corpus, tmp_path):
    """Every change of a file fails once: the error is ours, what was there is whole, and the next run ends as without it."""
    given = {"mats": mats, "corpus": corpus}
    (tmp_path / "expected").mkdir()
    work(tmp_path / "expected", given)
    expected = contents(tmp_path / "expected")
    for n in range(1, 200):
        folder = tmp_path / f"failed{n}"
        folder.mkdir()
        disk.fail(n, folder)
        try:
            work(folder, given)
        except EmoTalkerError as error:
            assert "\n" not in str(error)
        finally:
            reached = disk.works()
        if work in (save_motion, save_table, save_video):
            whole = {name: data for name, data in contents(folder).items() if not Path(name).name.startswith(".")}
            assert whole.items() <= expected.items()
        work(folder, given)
        assert contents(folder) == expected, n
        if not reached:
            break
    assert 3 <= n < 199


def test_a_full_disk_is_one_sentence(tmp_path):
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import numpy as np
from emotalker.coefficients import ARKIT, MotionTrack
from emotalker.core.cli import run
run(lambda: MotionTrack(np.random.default_rng(0).random((400, 58)), ARKIT).save({str(tmp_path / "m.npz")!r}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "free space" in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


WORKERS = """
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import getpid
from emotalker.core.processes import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=end_with_parent) as pool:
        print(*{future.result() for future in [pool.submit(getpid) for _ in range(8)]}, flush=True)
        list(pool.map(time.sleep, [60, 60]))
"""


def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "parent.py").write_text(WORKERS)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(number) for number in parent.stdout.readline().split()]
        assert workers
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def test_one_program_at_a_time_prepares_a_part(mats, tmp_path):
    out = tmp_path / "out"
    with only_one(out / ".lock-0-of-1", "busy"):
        with pytest.raises(OutputError, match="another program prepares"):
            prepare(settings(mats, out))
        assert prepare(settings(mats, out, shard="1/2"))["waiting"] == 1  # another part
    assert prepare(settings(mats, out))["prepared"] == 3


def test_a_lock_is_released_when_its_program_is_killed(tmp_path):
    lock = tmp_path / "lock"
    script = "from emotalker.core.processes import only_one\nfrom pathlib import Path\nimport time\n"
    script += f"with only_one(Path({str(lock)!r}), 'busy'):\n    print('held', flush=True)\n    time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="busy"), only_one(lock, "busy"):
            pass
        holder.kill()
    with only_one(lock, "busy"):
        pass


@pytest.mark.parametrize(
    "setting",
    ["batch_size=0", "steps=-1", "save_every=0", "validate_every=0", "accumulate=0", "seed=-1", "workers=-2", "threads=-1"]
    + ["data.frames=0", "optimizer.learning_rate=nan", "optimizer.clip=inf", "optimizer.warmup=-1", "model.width=0"],
)
def test_numbers_out_of_range_are_refused_by_name(setting):
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        compose(VQVAETraining, [setting])


@pytest.mark.parametrize("setting", ["clips_per_shard=0", "clips_per_shard=-1", "workers=-1", "workers=0", "threads=0"])
def test_numbers_of_preparation_are_refused_by_name(setting):
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        compose(Preparation, ["corpus=folder", "root=a", "out=b", setting])
