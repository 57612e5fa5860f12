"""Events of a run and their file."""

from tcpclose.trace.events import Event, Trace

__all__ = ["Event", "Trace"]
