"""Submissions that come packed: graded as if they came plainly, or refused in words when they escape or explode."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tcpclose.teaching.assignments.archives import MOST_PACKED
from tcpclose.teaching.assignments.catalogue import find
from tcpclose.teaching.assignments.classes import grade_class, look_through
from tcpclose.teaching.assignments.grades import SubmissionError
from tcpclose.teaching.assignments.handed_in import MOST_FILES, MOST_OCTETS, content, grade_one, opened


def packed(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return octets.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def encrypted() -> bytes:
    octets = bytearray(packed(("a2.py", b"1")))
    for head, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        octets[octets.index(head) + offset] |= 1
    return bytes(octets)


def lying() -> bytes:
    """The table of contents says that the file is small."""
    octets = bytearray(packed(("a2.py", bytes(MOST_OCTETS + 1))))
    at = octets.index(b"PK\x01\x02") + 24
    octets[at : at + 4] = struct.pack("<I", 1)
    return bytes(octets)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no archive": (lambda: b"def answer", r"cannot be read as \.zip: File is not a zip file"),
    "broken off": (lambda: packed(("a2.py", b"x" * 1000))[:-30], r"cannot be read as \.zip: .*"),
    "up and away": (lambda: packed(("../a2.py", b"")), r"\.\./a2\.py would be unpacked to somewhere else"),
    "from the root": (lambda: packed(("/tmp/a2.py", b"")), r"/tmp/a2\.py would be unpacked to somewhere else"),
    "as Windows has it": (lambda: packed(("C:\\a2.py", b"")), r"C:\\a2\.py would be unpacked to somewhere else"),
    "backslashes": (lambda: packed(("..\\..\\a2.py", b"")), r"\.\.\\\.\.\\a2\.py would be unpacked to .*"),
    "a link": (lambda: packed((link("a2.py"), b"/etc/passwd")), r"a2\.py is a symbolic link; pack the file itself"),
    "encrypted": (encrypted, r"a2\.py is encrypted, or packed in a rare way; .*"),
    "another method": (lambda: packed(("a2.py", b""), method=zipfile.ZIP_LZMA), r"a2\.py is encrypted, or packed .*"),
    "explodes": (lambda: packed(("a2.py", bytes(MOST_OCTETS + 1))), r"unpacks to too many octets"),
    "explodes by parts": (
        lambda: packed(*((f"{number}.py", bytes(MOST_OCTETS // 4)) for number in range(5))),
        r"unpacks to too many octets",
    ),
    "lies about its size": (lying, r"(unpacks to too many octets|cannot be read as \.zip: .*)"),
    "too many files": (lambda: packed(*((f"{n}", b"") for n in range(MOST_FILES + 1))), r"has more than 1000 files"),
    "too large": (lambda: bytes(MOST_PACKED + 1), r"has more than 1 MiB"),
    "a file and a folder": (lambda: packed(("a", b""), ("a/a2.py", b"")), r"cannot be unpacked: (File|Not) .*"),
    "one name twice": (lambda: packed(("a/a2.py", b"1"), ("a//a2.py", b"2")), r"cannot be unpacked: File exists"),
    "deep": (lambda: packed(("a/" * 1900 + "a2.py", b"")), r"a file in it lies more than 20 folders deep"),
    "a long name": (lambda: packed(("x" * 300, b"")), r"cannot be unpacked: File name too long"),
    "nothing": (lambda: packed(), r"has no a2\.py in it"),
    "which": (lambda: packed(("x.py", b""), ("y.py", b"")), r"which file is it\? None is named a2\.py: x\.py, y\.py"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_in_words(tmp_path: Path, name: str) -> None:
    make, reason = BAD[name]
    (tmp_path / "s1").mkdir()
    path = tmp_path / "s1/work.zip"
    path.write_bytes(make())
    with pytest.raises(SubmissionError) as caught, opened(path, "a2.py"):
        pass
    assert re.fullmatch(re.escape(f"{path}: ") + reason, str(caught.value)), caught.value
    assert [path] == [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder", "large", "none"])
def test_what_is_no_plain_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a2.py"
    make = {
        "link": lambda: path.symlink_to("/etc/passwd"),
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "large": lambda: path.write_bytes(bytes(101)),
        "none": lambda: None,
    }
    make[kind]()
    with pytest.raises(SubmissionError) as caught:
        content(path, 100)
    assert str(caught.value).startswith(f"{path}: ")
    assert content(Path(__file__), 1 << 20) == Path(__file__).read_bytes()


def test_other_archives_are_told_what_is_read(tmp_path: Path) -> None:
    for name in ("a2.tar.gz", "a2.tgz", "A2.RAR"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(SubmissionError, match=r"is an archive that is not read here; .* or a \.zip$"):
            opened(tmp_path / name, "a2.py").__enter__()


@pytest.mark.parametrize("name", ["a2.py", "work/mine.py", "work\\a2.py", "\u00fcbung 1/a2.py", "-rf/a2.py"])
def test_what_is_packed_is_found_and_gone_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "work.ZIP"
    path.write_bytes(packed((name, b"mine"), ("__MACOSX/._a2.py", b"not"), ("notes.txt", b"")))
    with opened(path, "a2.py") as located:
        assert located.read_bytes() == b"mine"
        assert not located.is_relative_to(tmp_path)
    assert not located.exists()


def test_packed_submissions_of_a_class_are_graded_as_plain_ones(tmp_path: Path) -> None:
    a1 = find("a1")
    folder = tmp_path / "class"
    folder.mkdir()
    text = b'student = "s1"\n'
    (folder / "s1.zip").write_bytes(packed(("work/a1.toml", text)))
    (folder / "s2.zip").write_bytes(packed(("../a1.toml", text)))
    (folder / "s5.zip").write_bytes(b"broken off")
    (tmp_path / "a1.toml").write_bytes(text)
    found = {one.file: one for one in grade_class(a1, look_through(folder, a1.file).entries, tmp_path / "out", jobs=1)}
    assert found["s1.zip"].result == grade_one(a1, tmp_path / "a1.toml", "a1.toml").result
    assert found["s1.zip"].result is not None
    assert found["s2.zip"].problem == "s2.zip: ../a1.toml would be unpacked to somewhere else"
    assert found["s5.zip"].problem == "s5.zip: cannot be read as .zip: File is not a zip file"
    assert [found[name].student for name in ("s1.zip", "s2.zip", "s5.zip")] == ["s1", "s2", "s5"]
    again = grade_class(a1, look_through(folder, a1.file).entries, tmp_path / "out", jobs=1)
    assert {one.file: one for one in again} == found, "what is kept says it too"
