"""packetdrill scripts, run against our stack in virtual time.

`script.py` says what a script is, `parser.py` and `printer.py` are its text, `runner.py` plays it and judges.
"""
