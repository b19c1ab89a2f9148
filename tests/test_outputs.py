"""Outputs never replace inputs."""

import os

import pytest

from emotalker.core.errors import OutputError
from emotalker.core.files import check_outputs, replace_on_success


def test_outputs_are_checked_against_inputs_and_each_other(tmp_path):
    voice = tmp_path / "voice.mp4"
    voice.write_bytes(b"voice")
    (tmp_path / "link.mp4").hardlink_to(voice)
    check_outputs([(tmp_path / "out.mp4", (".mp4",))], [voice, None])
    for name in ("voice.mp4", "link.mp4", "./voice.mp4"):
        with pytest.raises(OutputError, match="also read as"):
            check_outputs([(f"{tmp_path}/{name}", (".mp4",))], [voice])
    with pytest.raises(OutputError, match="also written as"):
        check_outputs([(tmp_path / "a.csv", ()), (tmp_path / "a.csv", ())])
    assert voice.read_bytes() == b"voice" and sorted(p.name for p in tmp_path.iterdir()) == ["link.mp4", "voice.mp4"]


def test_other_kinds_of_names_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ending in \.npz or \.csv"):
        check_outputs([(tmp_path / "m.wav", (".npz", ".csv"))])
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OutputError, match="pipe"):
        check_outputs([(tmp_path / "pipe.mp4", (".mp4",))])
    with pytest.raises(OutputError, match="pipe"), replace_on_success(tmp_path / "pipe.mp4"):
        pass
