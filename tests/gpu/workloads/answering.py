"""How a workload says what it found: one line of JSON, the last that it prints."""

import json
import sys
import time
from collections.abc import Callable


def variant() -> str:
    """What of its package a workload shall use."""
    return sys.argv[1]


def answer(version: str, total: "int | None", work: "Callable[[], float]", ask: "Callable[[int], object]") -> None:
    """Do the work, then ask for more than the share has; `ask` raises where it is refused."""
    began = time.monotonic()
    value = work()
    seconds = time.monotonic() - began
    refused = False
    try:
        ask(int(sys.argv[2]))
    except Exception as error:  # each package has its own
        refused = "memory" in str(error).lower() or "exhausted" in str(error).lower()
        if not refused:
            raise
    found = {"version": version, "value": value, "seconds": round(seconds, 3), "total": total, "refused": refused}
    print(json.dumps(found))
