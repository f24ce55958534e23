"""The folder of a run, read back with json and csv; a full disk is /dev/full."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mesh.errors import RunFolderError
from mesh.events import Evaluated, StepFinal
from mesh.run import COLUMNS, RunFolder, default_folder
from tests.mesh.fakes import EVENTS, lines_of, step

FULL = Path("/dev/full")
needs_a_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def never(text: str) -> None:
    raise AssertionError(text)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_event_is_a_line_and_every_final_step_a_row(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "deep" / "run", never) as run:
        for number, event in enumerate(EVENTS):
            run.event(event, 1000.0 + number)
    lines = [json.loads(line) for line in lines_of(run.path / "events.jsonl")]
    expected = [event.to_json(1000.0 + number) for number, event in enumerate(EVENTS)]
    assert lines == json.loads(json.dumps(expected))

    rows = rows_of(run.path / "metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "2"]
    steps = [event for event in EVENTS if isinstance(event, StepFinal)]
    for row, event in zip(rows[:2], steps, strict=True):
        assert {name: row[name] for name in asdict(event)} == {
            name: str(value) for name, value in asdict(event).items()
        }
    (measured,) = (event for event in EVENTS if isinstance(event, Evaluated))
    assert (rows[2]["test_accuracy"], rows[2]["test_loss"]) == (str(measured.accuracy), str(measured.loss))
    assert rows[2]["loss"] == rows[0]["test_loss"] == ""


def test_lines_are_on_disk_at_once(tmp_path: Path) -> None:
    with RunFolder(tmp_path, never) as run:
        run.event(step(1), 0.0)
        assert len(lines_of(tmp_path / "events.jsonl")) == 1
        assert len(rows_of(tmp_path / "metrics.csv")) == 1


def test_a_second_run_goes_on_in_the_same_files(tmp_path: Path) -> None:
    for number in (1, 2):
        with RunFolder(tmp_path, never) as run:
            run.event(step(number), 0.0)
    assert [row["step"] for row in rows_of(tmp_path / "metrics.csv")] == ["1", "2"]
    assert lines_of(tmp_path / "metrics.csv").count(",".join(COLUMNS)) == 1


def test_a_folder_in_which_nothing_happened_is_removed(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", never):
        assert (tmp_path / "run").exists()
    assert not (tmp_path / "run").exists()
    (tmp_path / "there").mkdir()
    with RunFolder(tmp_path / "there", never):
        pass
    assert (tmp_path / "there").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="--run") as caught:
        RunFolder(tmp_path / "file" / "run", never)
    assert caught.value.exit_code == 1


@needs_a_full_device
def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").symlink_to(FULL)
    with pytest.raises(RunFolderError, match="No space left"):
        RunFolder(tmp_path, never)


@needs_a_full_device
def test_a_disk_that_fills_up_is_said_once_and_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to(FULL)
    said: list[str] = []
    with RunFolder(tmp_path, said.append) as run:
        run.event(step(1), 0.0)
        run.event(step(2), 0.0)
    (sentence,) = said
    assert "No space left" in sentence
    assert str(tmp_path) in sentence


def test_default_folders_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_folder("digits", 0.0)
    assert first.parent == Path("runs")
    first.mkdir(parents=True)
    second = default_folder("digits", 0.0)
    assert second != first
    assert second.name.startswith(first.name)
    assert default_folder("../some/where.py:my_net", 0.0).name.startswith("where-my-net-")
    assert default_folder("../some/where.py:my_net", 0.0).parent == Path("runs")
    assert default_folder("a/network.json", 0.0).name.startswith("network-")
