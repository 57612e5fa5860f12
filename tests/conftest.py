"""What every test relies on."""

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"  # no test needs a screen, nor does a program that a test starts

# A busy machine is no failure.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")
