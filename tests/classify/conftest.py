"""What the tests of classify share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tcpclose.classify import files


@pytest.fixture
def read_as_big(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Has captures of any size read by compiled code, or by none."""

    def set_sizes(big: bool) -> None:
        monkeypatch.setattr(files, "_WORTH_LOADING", 0 if big else 2**30)
        monkeypatch.setattr(files, "_WORTH_COMPILING", 0)

    return set_sizes
