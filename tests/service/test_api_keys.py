"""The file of access keys: what it may hold, who may write it, and what happens when it changes."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.api.keys import Keys, add_key, digest_of, read_keys, remove_keys
from service.cli.command import app
from service.errors import BadParameter, SetupError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.txt"


def test_a_key_is_kept_as_its_digest_alone(file: Path) -> None:
    key = add_key(file, "anna")
    assert len(key) > 40
    assert key not in file.read_text()
    assert f"anna:{hashlib.sha256(key.encode()).hexdigest()}\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["keys.txt"]
    assert Keys(file).owner(key) == "anna"
    assert Keys(file).owner(key[:-1]) is None


def test_several_keys_and_comments_live_side_by_side(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"# ours\n\nben:{digest_of('old').upper()}  # until May")
    file.chmod(0o640)
    first, second = add_key(file, "anna"), add_key(file, "anna")
    keys = Keys(file)
    assert [keys.owner(key) for key in (first, second, "old")] == ["anna", "anna", "ben"]
    assert remove_keys(file, "anna") == 2
    assert (remove_keys(file, "anna"), [keys.owner(key) for key in (first, "old")]) == (0, [None, "ben"])
    assert file.read_text().startswith("# ours\n")


@pytest.mark.parametrize("name", ["", "a:b", "a b", "-x", "ä", "x" * 65, "a\nb"])
def test_odd_names_are_refused(file: Path, name: str) -> None:
    with pytest.raises(BadParameter, match=r"Found the name .*Choose another name"):
        add_key(file, name)
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no key; wanted at least one line"),
        (b"# nothing\n", "no key; wanted at least one line"),
        (b"anna:1234\n", "another shape in line 1"),
        (b"# x\n\nsecret-key-itself\n", "another shape in line 3"),
        (b"anna:" + b"g" * 64, "another shape in line 1"),
        (b"\xff\xfe", "cannot be read .not UTF-8"),
    ],
)
def test_a_file_that_is_none_stops_the_start(file: Path, content: bytes, said: str) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(SetupError, match=said) as caught:
        Keys(file)
    assert "secret-key-itself" not in str(caught.value)


def test_a_missing_file_stops_the_start(file: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read .No such file.*breast-cascade keys add NAME"):
        Keys(file)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        add_key(tmp_path / "file" / "keys.txt", "anna")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    add_key(file, "anna")
    file.chmod(mode)
    for use in (Keys, read_keys, lambda path: add_key(path, "ben"), lambda path: remove_keys(path, "anna")):
        with pytest.raises(SetupError, match="others may write.*chmod go-w"):
            use(file)


def test_a_file_that_others_may_read_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = add_key(file, "anna")
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING, "breast_cascade"):
        assert Keys(file).owner(key) == "anna"
    assert caplog.messages == ["access_keys_readable"]


def test_changes_count_at_once_and_a_broken_file_lets_nobody_in(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = add_key(file, "anna")
    keys = Keys(file)
    second = add_key(file, "ben")
    assert keys.owner(second) == "ben"
    good = file.read_text()
    file.write_text("broken")
    assert [keys.owner(first), keys.owner(second)] == [None, None]
    assert caplog.messages == ["access_keys_unusable"]
    file.write_text(good)
    assert keys.owner(first) == "anna"
    file.unlink()
    assert keys.owner(first) is None


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["keys", *map(str, arguments)])
    if isinstance(result.exception, SetupError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_adds_lists_and_removes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = call("add", "anna", "--file", file)
    key = out.strip()
    assert (code, Keys(file).owner(key)) == (0, "anna")
    assert "only its digest" in err
    assert key not in err
    monkeypatch.setenv("BREAST_CASCADE_ACCESS_KEYS", str(file))
    call("add", "ben")
    call("add", "anna")
    assert call("list")[:2] == (0, "anna 2\nben 1\n")
    assert call("remove", "anna")[0] == 0
    code, _, err = call("remove", "anna")
    assert (code, "anna has no key" in err) == (1, True)
    assert call("list")[:2] == (0, "ben 1\n")
    assert call("add", "a b")[0] == 2


def test_the_command_wants_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BREAST_CASCADE_ACCESS_KEYS", raising=False)
    assert call("add", "anna")[0] == 2
    with pytest.raises(SetupError, match="cannot be read"):
        call("list", "--file", os.devnull + "/nothing")
