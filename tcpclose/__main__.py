"""`python -m tcpclose`: the commands, where no `tcpclose` stands on the PATH."""

from tcpclose.cli import app

app()
