"""tcpclose: a network lab about one thing, how TCP connections end."""

__version__ = "0.1.0"
