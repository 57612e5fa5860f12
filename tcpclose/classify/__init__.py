"""How every connection in a capture was released, by whom, and why."""

from .dialects import Damage, NotACapture
from .releases import Release, Releases, classify, stream

__all__ = ["Damage", "NotACapture", "Release", "Releases", "classify", "stream"]
