"""A wall clock that jumps, for one process: Debian's libfaketime reads how far it is off from a file."""

from __future__ import annotations

from pathlib import Path

_LIBRARIES = Path("/usr/lib")


class JumpingClock:
    """The process is started in `environment`; its monotonic clock stays the machine's."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on the wall clock is so far ahead of the machine's (behind, where negative)."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        library = next(_LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
