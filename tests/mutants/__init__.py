"""Known bugs of real stacks, each a small patch of the table or of the engine, and the tests that must notice.

A suite that no bug can disturb proves nothing. `test_mutants.py` puts each of these into the running code and asks
whether the figures, or the tests of connections, stacks and sockets, fail.
"""

from mutants import abrupt, agreed, release, sequence, silence  # they register their mutants
from mutants.mutant import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "abrupt", "agreed", "release", "sequence", "silence"]
