"""Preparation of a corpus: clips of any reader to WebDataset shards, in parallel on one or several machines, resumable.

Each finished clip is written to one tar in ``out/work``. A shard is written once all of its clips are finished or failed, and
contains them in the reader's order. The contents of a shard depend only on the corpus and the settings, not on the number of
processes or machines or on interruptions.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.core.errors import DataError, EmoTalkerError, MissingExtraError
from emotalker.core.files import replace_on_success, writing_to
from emotalker.core.processes import end_with_parent, only_one, stop_workers
from emotalker.core.progress import progress_bar
from emotalker.data.clip_ids import check_clip_id
from emotalker.data.readers import make_reader
from emotalker.data.readers.base import ClipSource, CorpusReader
from emotalker.data.shards import FAILURES, HEADER, Corpus, read_tar, write_tar
from emotalker.data.writer import clip_files, header, join_shards, write_shard
from emotalker.settings.corpora import Preparation

THUMBNAIL_HEIGHT = 144


@dataclass(frozen=True)
class Settings:
    """Picklable settings of a worker.

    Attributes:
        reader: arguments of :func:`~emotalker.data.readers.make_reader`.
        work: folder of finished clips.
    """

    reader: dict
    work: Path


class Worker:
    """Prepares clips with one reader, in one process.

    Args:
        settings: the reader and the output folder.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.reader = make_reader(settings.reader)

    def __call__(self, clip: ClipSource) -> str | None:
        """Write one clip to the work folder; returns the reason if that fails, else None."""
        try:
            members = self.members(clip)
        except EmoTalkerError as error:
            reason = str(error)
        except Exception as error:  # an unexpected error in one file must not stop the others
            reason = f"{type(error).__name__}: {error}"
        else:
            write_tar(self.settings.work / f"{clip.id}.tar", members)
            return None
        with replace_on_success(self.settings.work / f"{clip.id}.failed") as temporary:
            temporary.write_text(json.dumps({"id": clip.id, "reason": reason}), encoding="utf-8")
        return reason

    def members(self, clip: ClipSource) -> list[tuple[str, bytes]]:
        """Names and contents of a clip's files."""
        data, space = self.reader.load(clip), self.reader.space
        files = clip_files(describe(clip), data, space)
        if clip.video is not None:
            worst = data.first_frame + int(np.argmin(data.confidence))
            files["jpg"] = thumbnail(clip.video, worst / space.fps)
        return [(f"{clip.id}.{suffix}", content) for suffix, content in files.items()]


def describe(clip: ClipSource) -> dict:
    """The entries of a clip's json about its source."""
    file = clip.video or clip.audio or clip.coefficients
    return {
        "id": clip.id, "speaker": clip.speaker, "emotion": clip.emotion, "original_emotion": clip.original_emotion,
        "level": clip.level, "source_fps": clip.fps, "licence": clip.licence, "file": file.name if file else None,
    }  # fmt: skip


def thumbnail(video: Path, seconds: float) -> bytes:
    """The frame of a video at ``seconds`` as a JPEG 144 pixels high."""
    import cv2

    from emotalker.video import read_frames, video_info

    target = round(seconds * video_info(video).fps)
    frame = None
    for index, frame in enumerate(read_frames(video)):  # noqa: B007
        if index >= target:
            break
    height, width = frame.shape[:2]
    size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def parse_part(part: str) -> tuple[int, int]:
    """Index from 0 and count of ``"3/16"`` (the third of sixteen machines), ``(2, 16)``; DataError for another form."""
    index, _, count = str(part).partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise DataError(f"shard={part} is not of the form 3/16, counted from 1")
    return int(index) - 1, int(count)


def prepare(config: Preparation) -> dict[str, int]:
    """Prepare a corpus.

    Returns:
        numbers of clips of the whole corpus: ``prepared``, ``failed``, and ``waiting`` for other machines.

    Raises:
        DataError: the corpus is missing, or ``out`` contains another corpus or was prepared with other settings.
        MissingExtraError: the Ray backend is selected and not installed.
        OutputError: another program prepares the same part, or ``out`` cannot be written.
    """
    out = Path(config.out)
    reader = make_reader(config.corpus | {"root": config.root})
    clips = reader.clips()
    duplicate = len(clips) - len({clip.id for clip in clips})
    if duplicate:
        raise DataError(f"{config.root}: {duplicate} clips share their id with another; give their folders as separate roots")
    index, count = parse_part(config.shard)
    busy = f"another program prepares shard={config.shard} of {out}; wait for it, or stop it"
    with only_one(out / f".lock-{index}-of-{count}", busy), writing_to(out):
        return _prepare(config, reader, clips, index, count)


def _prepare(config: Preparation, reader: CorpusReader, clips: list[ClipSource], index: int, count: int) -> dict[str, int]:
    """The part ``index`` of ``count`` of a corpus."""
    out, work = Path(config.out), Path(config.out) / "work"
    write_header(out, reader, clips, config)
    size = config.clips_per_shard
    shards = {f"shard-{i // size:05d}": clips[i : i + size] for i in range(0, len(clips), size)}
    mine = {name: part for i, (name, part) in enumerate(shards.items()) if i % count == index}
    if config.retry:
        reset_failures(out, work, mine)
    mine = {name: part for name, part in mine.items() if not (out / f"{name}.jsonl").exists()}
    todo = [clip for part in mine.values() for clip in part if result_of(work, clip) is None]

    settings = Settings(config.corpus | {"root": config.root}, work)
    owner = {clip.id: name for name, part in mine.items() for clip in part}
    left = {name: sum(result_of(work, clip) is None for clip in part) for name, part in mine.items()}
    for name in [name for name, waiting in left.items() if not waiting]:
        join_clips(out, work, name, mine[name])
    with progress_bar() as progress, contextlib.closing(run(settings, todo, config)) as results:
        task = progress.add_task(f"{reader.name} {config.shard}", total=len(todo))
        for clip_id, reason in results:
            progress.update(task, advance=1)
            if reason is not None:
                progress.console.print(f"{clip_id}: {reason}", markup=False, highlight=False)
            name = owner[clip_id]
            left[name] -= 1
            if not left[name]:
                join_clips(out, work, name, mine[name])
    return finish(out, work, shards)


def run(settings: Settings, clips: list[ClipSource], config: Preparation) -> Iterator[tuple[str, str | None]]:
    """Prepare clips in any order; yields each one's id and the reason if it failed."""
    if not clips:
        return
    if config.backend == "ray":
        yield from run_ray(settings, clips, config.workers)
        return
    workers = min(config.workers or multiprocessing.cpu_count(), len(clips))
    if workers == 1:
        worker = Worker(settings)
        yield from ((clip.id, worker(clip)) for clip in clips)
        return
    context = multiprocessing.get_context("spawn")  # forking a process with threads can deadlock
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(settings,))
    try:
        futures: dict[Future, str] = {pool.submit(_prepare_one, clip): clip.id for clip in clips}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:  # an interruption: clips that are half done are started again by the next run
        stop_workers(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Callable[[ClipSource], str | None] | None = None


def _start(settings: Settings) -> None:
    global _worker
    end_with_parent()
    _worker = Worker(settings)


def _prepare_one(clip: ClipSource) -> str | None:
    return _worker(clip)


def run_ray(settings: Settings, clips: list[ClipSource], workers: int | None) -> Iterator[tuple[str, str | None]]:
    """:func:`run` on a Ray cluster whose machines share the output folder; MissingExtraError without Ray."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("backend=ray needs Ray: pip install 'emotalker[ray]'") from error

    class Stage(Worker):
        def __call__(self, row: dict) -> dict:
            clip = row["item"]
            return {"id": clip.id, "reason": super().__call__(clip)}

    data = ray.data.from_items(clips)
    for row in data.map(Stage, fn_constructor_args=(settings,), concurrency=workers or (1, 1024)).iter_rows():
        yield row["id"], row["reason"]


def result_of(work: Path, clip: ClipSource) -> Path | None:
    """Path of the finished clip or of its failure record in the work folder, or None."""
    return next((p for p in (work / f"{clip.id}.tar", work / f"{clip.id}.failed") if p.exists()), None)


def join_clips(out: Path, work: Path, name: str, clips: list[ClipSource]) -> None:
    """Write a shard from its clips, all of which are finished or failed, and remove them from the work folder."""
    results = [result_of(work, clip) for clip in clips]
    failures = [json.loads(p.read_text(encoding="utf-8")) for p in results if p.suffix == ".failed"]
    write_shard(out, name, [read_tar(p) for p in results if p.suffix != ".failed"], failures)
    for path in results:
        path.unlink()


def finish(out: Path, work: Path, shards: dict[str, list[ClipSource]]) -> dict[str, int]:
    """Write the manifest of the complete shards, remove the work folder if all are complete, and count clips by state."""
    prepared, failed = join_shards(out, shards)
    waiting = sum(len(clips) for clips in shards.values()) - prepared - failed
    if not waiting:
        shutil.rmtree(work, ignore_errors=True)
    return {"prepared": prepared, "failed": failed, "waiting": waiting}


def reset_failures(out: Path, work: Path, shards: dict[str, list[ClipSource]]) -> None:
    """Remove the records of failed clips, and unpack the other clips of their shards into the work folder."""
    for name, clips in shards.items():
        for clip in clips:
            (work / f"{clip.id}.failed").unlink(missing_ok=True)
        manifest = out / f"{name}.jsonl"
        if not manifest.exists() or '{"failed":' not in manifest.read_text(encoding="utf-8"):
            continue
        by_clip: dict[str, list[tuple[str, bytes]]] = {}
        for file, content in read_tar(out / f"{name}.tar"):
            clip_id = check_clip_id(file.partition(".")[0], out / f"{name}.tar")
            by_clip.setdefault(clip_id, []).append((file, content))
        for clip_id, members in by_clip.items():
            write_tar(work / f"{clip_id}.tar", members)
        manifest.unlink()


def write_header(out: Path, reader: CorpusReader, clips: list[ClipSource], config: Preparation) -> None:
    """Write ``corpus.json``, or check that the existing one is of the same corpus and settings."""
    speakers = {clip.speaker for clip in clips}
    settings = {"clips_per_shard": config.clips_per_shard}
    about = header(
        reader.space, reader.source, reader.licence, [s for s in reader.validation_speakers if s in speakers],
        [s for s in reader.test_speakers if s in speakers],
        corpus=reader.name, clips=len(clips), settings=settings,
    )  # fmt: skip
    path = out / HEADER
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != about:
            raise DataError(
                f"{out} contains another corpus, or one prepared with other settings; choose another out= or remove it"
            )
        return
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")


def prepare_and_report(config: Preparation) -> None:
    """Entry point of the script: prepare the corpus, then print the numbers of clips."""
    counts = prepare(config)
    out = Path(config.out)
    corpus = Corpus(out)
    minutes = sum(clip.frames for clip in corpus.clips) / corpus.space.fps / 60
    print(f"{counts['prepared']} clips, {minutes:.1f} min in {out}")
    if counts["failed"]:
        print(f"{counts['failed']} clips could not be used; {out / FAILURES} lists the reasons; retry=true tries them again")
    if counts["waiting"]:
        print(f"{counts['waiting']} clips belong to other parts; the last part to finish completes the manifest")
