"""A run as one page of HTML that plays it: it opens from disk, and asks no network for anything."""

from tcpclose.replay.page import write_report

__all__ = ["write_report"]
