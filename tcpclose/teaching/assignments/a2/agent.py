"""The process on an emulated host whose TCP is a submission: the grader has that in its box, and is asked each time."""

from __future__ import annotations

import socket
import sys
from functools import partial

from tcpclose.teaching.assignments.a2.foreign import ForeignStack
from tcpclose.teaching.assignments.a2.right import Reply, Request
from tcpclose.testbed.agent import main
from tcpclose.testbed.channel import Channel


class Asker:
    """Asks through a socket in the file system, which a network namespace does not hide."""

    def __init__(self, path: str) -> None:
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(path)
        self._channel = Channel(stream)

    def __call__(self, request: Request) -> Reply:
        """The answer; without one there is no TCP on this host."""
        self._channel.tell(**request)
        replies: list[Reply] = []
        while not replies:
            replies = self._channel.hear()
            if self._channel.closed:
                sys.exit("the submission answers no more")
        return replies[0]


if __name__ == "__main__":
    main(int(sys.argv[1]), partial(ForeignStack, Asker(sys.argv[2])))
