"""Scoring many clips: in parallel, resumable, one CSV row a clip."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from emotalker.core.errors import DataError
from emotalker.core.files import replace_on_success
from emotalker.core.jobs import DONE, FAILED, Job, resume, run_jobs
from emotalker.evaluation.metrics.diversity import diversity
from emotalker.evaluation.metrics.frechet import frechet_distance
from emotalker.evaluation.pairing import Pair, Source
from emotalker.evaluation.scorer import REAL, ScoreOptions, Scorer

LABELS = ("id", "clip", "subject", "emotion", "level")


@dataclass(frozen=True)
class ClipResult:
    """One row.

    Attributes:
        pair: what was scored.
        values: by key; empty if it failed.
        features: path of the NPZ file for the measures of sets.
        message: why it failed, or "".
    """

    pair: Pair
    values: dict[str, float]
    features: Path
    message: str = ""


def score_pairs(pairs: Sequence[Pair], options: ScoreOptions, folder: Path, workers: int = 1) -> Iterator[ClipResult]:
    """Score all pairs; yields each as it is known. A clip that cannot be scored is reported in its row.

    ``folder/progress.csv`` says what is done; a later call with the same files and options takes that over.

    Args:
        workers: processes.
    """
    by_id = {pair.id: pair for pair in pairs}
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()[:12]
    jobs = [Job(_job_options(pair, digest, folder)) for pair in pairs]
    report = folder / "progress.csv"
    resume(jobs, report)
    for job in jobs:
        if job.status == DONE:
            yield _result(by_id[job.options["id"]], job)
    for job in run_jobs(jobs, partial(_score, options), report, workers):
        yield _result(by_id[job.options["id"]], job)


def _job_options(pair: Pair, digest: str, folder: Path) -> dict[str, str]:
    files = [pair.generated, *(s.path for s in pair.references), *([pair.audio] if pair.audio else [])]
    changed = hashlib.sha256(repr([(str(f), f.stat().st_mtime_ns) for f in files if f.exists()]).encode()).hexdigest()[:12]
    name = hashlib.sha256(pair.id.encode()).hexdigest()[:8]
    features = folder / "features" / f"{Path(pair.id).name[:80]}-{name}.npz"
    references = json.dumps([[str(s.path), s.key, s.fps] for s in pair.references])
    optional = {"audio": pair.audio, "emotion": pair.emotion}
    return {
        "id": pair.id, "generated": str(pair.generated), "references": references, "settings": digest, "files": changed,
        "output": str(features), **{key: str(value) for key, value in optional.items() if value is not None},
    }  # fmt: skip


def _result(pair: Pair, job: Job) -> ClipResult:
    failed = job.status == FAILED
    return ClipResult(pair, {} if failed else json.loads(job.message), Path(job.options["output"]), job.message * failed)


@lru_cache(maxsize=1)
def _scorer(options: ScoreOptions) -> Scorer:
    """The scorer of this process."""
    import torch

    torch.set_num_threads(1)
    return Scorer(options)


def _score(options: ScoreOptions, arguments: list[str]) -> str:
    """Score the pair that a job's arguments describe; the values as JSON."""
    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    references = tuple(Source(Path(path), key, fps) for path, key, fps in json.loads(given["references"]))
    audio = Path(given["audio"]) if "audio" in given else None
    pair = Pair(given["id"], "", Path(given["generated"]), references, audio, given.get("emotion"))
    try:
        score = _scorer(options)(pair)
    except (ValueError, OSError, MemoryError) as error:  # a file that is damaged in a way no reader knows
        raise DataError(f"{pair.generated} cannot be scored ({error}); leave it out or write it again") from error
    with replace_on_success(given["output"]) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **score.features)
    return json.dumps({key: None if np.isnan(value) else value for key, value in score.values.items()})


def set_values(results: Sequence[ClipResult]) -> dict[str, float]:
    """Measures of all clips together: E-FID, FID, diversity; NaN where they cannot be computed."""
    made: dict[str, list[np.ndarray]] = {}
    samples: dict[str, list[np.ndarray]] = {}
    for result in results:
        if result.message:
            continue
        with np.load(result.features) as features:
            for name in features.files:
                made.setdefault(name, []).append(features[name].astype(np.float32))
            samples.setdefault(result.pair.clip, []).append(features["scores"].astype(np.float32))
    values = {}
    for key, name in (("e_fid", "scores"), ("fid", "inception")):
        if name in made and REAL + name in made:
            values[key] = frechet_distance(np.concatenate(made[name]), np.concatenate(made[REAL + name]))
    several = [diversity(group) for group in samples.values() if len(group) > 1]
    return values | ({"diversity": float(np.mean(several))} if several else {})


def mean_values(results: Sequence[ClipResult]) -> dict[str, float]:
    """Means over the clips for which each value is known; of the offset the median, as it is at a limit where sync fails."""
    found: dict[str, list[float]] = {}
    for result in results:
        for key, value in result.values.items():
            if value is not None:
                found.setdefault(key, []).append(value)
    return {key: float((np.median if key.endswith("offset") else np.mean)(values)) for key, values in found.items()}


def write_clips(results: Sequence[ClipResult], path: Path) -> Path:
    """One row a clip: labels, all values, and why a clip failed."""
    keys = list(dict.fromkeys(key for result in results for key in result.values))
    with replace_on_success(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*LABELS, *keys, "error"])
        for result in sorted(results, key=lambda r: r.pair.id):
            labels = ["" if (value := getattr(result.pair, name)) is None else value for name in LABELS]
            cells = [result.values.get(key) for key in keys]
            writer.writerow([*labels, *("" if c is None else f"{c:.6g}" for c in cells), result.message])
    return path


def check_options(options: ScoreOptions) -> None:
    """Load what the groups need before hours of work; the error says which package or file is missing.

    Raises:
        EmoTalkerError: see :class:`Scorer`.
    """
    scorer = _scorer(options)
    needed = {
        "emotion": "_classifiers", "sync": "_sync", "syncnet": "_syncnet", "identity": "_embedder", "fid": "_fid_network",
        "lpips": "_lpips",
    }  # fmt: skip
    for group in options.groups:
        if group in needed:
            getattr(scorer, needed[group])
