"""Text that people write into files: scenarios, questions, sheets, lists, scripts. Endless files are refused."""

from __future__ import annotations

from pathlib import Path

MOST_OCTETS = 4 << 20


def read_written(path: Path, most: int = MOST_OCTETS) -> str:
    """The text of a file. Raises `OSError`, or `ValueError` for what is no UTF-8 or has more than `most` octets."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} octets")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"octet {error.start} is not UTF-8; save it as UTF-8") from None


def reason(error: OSError | ValueError) -> str:
    """Why `read_written` could not read a file, in words."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
