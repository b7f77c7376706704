"""How often Python looks for cycles among all that the controller keeps."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """For a process whose objects are many and long-lived: looking at all of them takes 0.1 s and finds nothing."""
    # The default thresholds walk all stored objects again and again while a large cluster is listed.
    gc.set_threshold(50_000, 20, 100)
