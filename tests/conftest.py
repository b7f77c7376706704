"""What all tests share: generated examples are the same in every run, so that one commit has one result.

HYPOTHESIS_PROFILE=explore looks for new ones.
"""

import os

from hypothesis import HealthCheck, settings

# Slowness is no failure: the machine may do other things too.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", unhurried, derandomize=True)
settings.register_profile("explore", unhurried, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
