"""Files that are replaced as a whole, and durable when the call returns."""

import errno
import os
from pathlib import Path

import pytest

from runtime import durable


def replace(path: Path, content: bytes) -> None:
    durable.replace(path, content, temporary=path.with_name("new"), mode=0o640)


def test_a_file_takes_the_place_of_the_one_before_with_its_own_mode(tmp_path: Path):
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    (tmp_path / "new").write_bytes(b"left by a crash")
    before = os.umask(0o077)
    try:
        replace(path, b"after")
    finally:
        os.umask(before)

    assert b"after" == path.read_bytes()
    assert 0o640 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
def test_what_was_there_stays_when_the_disk_does_not_take_the_new_file(tmp_path, monkeypatch, call):
    path = tmp_path / "kept"
    path.write_bytes(b"before")

    def full(*_given, **_options):
        raise OSError(errno.ENOSPC, "no space left")

    match call:
        case "fsync":
            monkeypatch.setattr(durable.os, "fsync", full)
        case "write":
            monkeypatch.setattr(durable.os, "fchmod", full)
        case _:
            monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        replace(path, b"after")

    assert b"before" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_the_content_is_durable_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    path, done = tmp_path / "kept", []
    fsync, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        durable.os, "fsync", lambda fd: done.append(str(Path(f"/proc/self/fd/{fd}").readlink())) or fsync(fd)
    )
    monkeypatch.setattr(Path, "replace", lambda old, new: done.append("rename") or rename(old, new))

    replace(path, b"content")

    assert [str(tmp_path / "new"), "rename", str(tmp_path)] == done


def test_a_created_file_is_durable_with_its_name_before_the_return(tmp_path, monkeypatch):
    path, done, fsync = tmp_path / "kept", [], os.fsync
    monkeypatch.setattr(
        durable.os, "fsync", lambda fd: done.append(str(Path(f"/proc/self/fd/{fd}").readlink())) or fsync(fd)
    )

    durable.create(path, b"content", mode=0o600)

    assert [str(path), str(tmp_path)] == done


def test_a_private_file_that_others_may_read_is_refused(tmp_path: Path):
    path = tmp_path / "kept"
    durable.create(path, b"secret", mode=durable.PRIVATE)

    assert b"sec" == durable.read_private(path, bytes_max=3)
    path.chmod(0o640)
    with pytest.raises(durable.ReadableByOthers, match="chmod 600"):
        durable.read_private(path, bytes_max=3)


def test_a_file_that_is_there_is_not_created_again(tmp_path: Path):
    path = tmp_path / "kept"
    durable.create(path, b"first", mode=0o600)

    with pytest.raises(FileExistsError):
        durable.create(path, b"second", mode=0o600)

    assert b"first" == path.read_bytes()
