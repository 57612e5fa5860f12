"""The world in real time, on Mininet: `emulate.py` starts a box (`box.py`), in which a conductor runs the scenario."""
