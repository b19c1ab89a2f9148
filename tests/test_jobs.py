"""Lists of jobs: workers, resume, failures."""

import csv
import os
from pathlib import Path

import pytest

from emotalker.core.errors import ConfigError, EmoTalkerError
from emotalker.core.jobs import DONE, FAILED, read_jobs, resume, run_jobs


def copy_job(arguments: list[str]) -> str:
    """Stands for a command: writes its output and counts its calls in a file beside it."""
    options = dict(argument[2:].split("=", 1) for argument in arguments)
    if options["audio"] == "bad":
        raise EmoTalkerError("bad cannot be read")
    if options["audio"] == "fatal":
        os._exit(1)
    output = Path(options["output"])
    with open(output.with_suffix(".calls"), "a") as file:
        file.write("x")
    output.write_text(options["audio"])
    return f"wrote {output}"


def listed(path: Path, names, folder: Path) -> Path:
    rows = [f"{name},p.png,{folder / f'{i}.mp4'}," for i, name in enumerate(names)]
    path.write_text("audio,image,output,size\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_all_jobs_run_and_failures_are_reported(tmp_path, workers):
    jobs = read_jobs(listed(tmp_path / "jobs.csv", ["a", "bad", "c"], tmp_path), ("audio", "image"))
    ended = list(run_jobs(jobs, copy_job, tmp_path / "report.csv", workers))
    assert len(ended) == 3 and [job.status for job in jobs] == [DONE, FAILED, DONE]
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert rows[1]["message"] == "bad cannot be read" and rows[0]["message"].startswith("wrote")
    assert (tmp_path / "2.mp4").read_text() == "c"


def test_a_second_run_does_only_what_is_left(tmp_path):
    path = listed(tmp_path / "jobs.csv", ["a", "b", "bad"], tmp_path)
    report = tmp_path / "report.csv"
    run = run_jobs(read_jobs(path, ("audio",)), copy_job, report)
    next(run)
    run.close()  # interrupted after the first job
    jobs = read_jobs(path, ("audio",))
    resume(jobs, report)
    assert [job.status for job in jobs] == [DONE, "", ""]
    list(run_jobs(jobs, copy_job, report))
    assert (tmp_path / "0.calls").read_text() == "x"
    (tmp_path / "0.mp4").unlink()
    jobs = read_jobs(path, ("audio",))
    resume(jobs, report)
    assert [job.status for job in jobs] == ["", DONE, ""]  # a removed output and a failure run again


def test_a_killed_worker_costs_its_job_only(tmp_path):
    jobs = read_jobs(listed(tmp_path / "jobs.csv", ["a", "fatal", "c", "d"], tmp_path), ("audio",))
    ended = list(run_jobs(jobs, copy_job, tmp_path / "report.csv", workers=2))
    assert [job.status for job in jobs] == [DONE, FAILED, DONE, DONE] and len(ended) == 4
    assert "killed" in jobs[1].message


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "needs rows"),
        ("audio\na\n", "image"),
        ("audio,image\na,\n", "line 2: image is empty"),
        ("audio,image\na,b,c\n", "line 2"),
        ("audio,image,output\na,b,o.mp4\nc,d,o.mp4\n", "lines 2 and 3"),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, message):
    (tmp_path / "jobs.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_jobs(tmp_path / "jobs.csv", ("audio", "image"))
