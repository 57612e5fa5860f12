"""Submissions that come packed: nothing of them is written but below the folder that they are unpacked to."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tcpclose.teaching.assignments.grades import SubmissionError

#: The archives that are read, and others that students have.
KIND = ".zip"
_OTHERS = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")

#: Its table of contents is in memory as a whole: this much has some ten thousand entries.
MOST_PACKED = 1 << 20

#: Folders in each other: a name may have thousands, and Python goes into them one call after the other.
MOST_DEEP = 20

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may want any amount of memory


def is_archive(path: Path) -> bool:
    """Going by its name. Raises `SubmissionError` for an archive of a kind that is not read."""
    if path.suffix.lower() in _OTHERS:
        raise SubmissionError(f"{path}: is an archive that is not read here; hand in the file itself, or a .zip")
    return path.suffix.lower() == KIND


def unpack(path: Path, folder: Path, most_files: int, most_octets: int) -> None:
    """Write what is in an archive. Raises `SubmissionError` for what is no archive, and for one that is harmful."""
    try:
        if path.is_symlink() or not path.is_file():
            raise SubmissionError(f"{path}: is no file")
        if path.stat().st_size > MOST_PACKED:
            raise SubmissionError(f"{path}: has more than {MOST_PACKED >> 20} MiB")
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > most_files:
                raise SubmissionError(f"{path}: has more than {most_files} files")
            for entry in entries:
                most_octets -= _write(archive, entry, folder, most_octets, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError) as error:
        raise SubmissionError(f"{path}: cannot be read as {KIND}: {error}") from None
    except OSError as error:
        raise SubmissionError(f"{path}: cannot be unpacked: {error.strerror}") from None


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, most: int, path: Path) -> int:
    """Write one file, and say how large it is, whatever the archive says."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
        raise SubmissionError(f"{path}: {entry.filename} would be unpacked to somewhere else")
    if len(name.parts) > MOST_DEEP:
        raise SubmissionError(f"{path}: a file in it lies more than {MOST_DEEP} folders deep")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise SubmissionError(f"{path}: {name} is a symbolic link; pack the file itself")
    if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
        raise SubmissionError(f"{path}: {name} is encrypted, or packed in a rare way; pack it plainly")
    with archive.open(entry) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SubmissionError(f"{path}: unpacks to too many octets")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("xb") as written:
        written.write(content)
    return len(content)
