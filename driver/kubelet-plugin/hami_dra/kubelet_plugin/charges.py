"""What a share was charged over the last seconds, and how much of that had run by when: pure.

A launch is charged as a whole before it runs, and NVML's newest sample is older than
our look. The ledger's moments, eight a second, say when charges were made; what is
charged then runs from then on, no faster than the clock.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from operator import itemgetter

from hami_dra.kubelet_plugin import share_layout as layout

_TOTALS = struct.Struct(f"<{layout.TOTAL_COUNT}Q")
_MOMENT = struct.Struct("<QQ")
_HISTORY_BYTES = layout.HISTORY_COUNT * _MOMENT.size

REACH_NS = (layout.HISTORY_COUNT - 4) * layout.HISTORY_STEP_NS
"""How far back the moments of a busy share go."""


@dataclass(frozen=True)
class Charges:
    """A share's ledger at `at_ns`. `moments` are earlier times and what had been charged before each, oldest first.

    `measured_ns` is what pairs of events said of the launches that had one, `taken_ns` what those were taken to have
    cost; zero where the share's library does not say.
    """

    at_ns: int
    gpu_ns: int = 0
    launches: int = 0
    moments: tuple[tuple[int, int], ...] = ()
    measured_ns: int = 0
    taken_ns: int = 0

    @property
    def launch_ns(self) -> float:
        """What a launch was charged, in the mean."""
        return self.gpu_ns / max(self.launches, 1)

    def run_by(self, at_ns: int, pace: float) -> float:
        """What had been charged and had run by then, where one charged nanosecond takes 1 / `pace` on the clock."""
        points = (*self.moments, (self.at_ns, self.gpu_ns))
        later = bisect_right(points, at_ns, key=itemgetter(0))
        if later in (0, len(points)):
            return float(points[0][1] if later == 0 else self.gpu_ns)
        (begin, before), (end, after) = points[later - 1 : later + 1]
        return before + self._run_between(begin, end, after - before, at_ns, pace)

    def _run_between(self, begin: int, end: int, charged: int, at_ns: int, pace: float) -> float:
        # A charge after the step would have left a moment of its own.
        end = min(end, (begin // layout.HISTORY_STEP_NS + 1) * layout.HISTORY_STEP_NS)
        count = max(1, round(charged / max(self.launch_ns, 1.0)))
        distance = (end - begin) / count
        done = min(int((at_ns - begin) / distance), count - 1)
        return done * charged / count + min(charged / count, (at_ns - begin - done * distance) * pace)


def read_charges(page: bytes, at_ns: int) -> Charges:
    """Those on the first page of a usage region that was read at `at_ns`; any byte of it may be a tenant's lie."""
    if len(page) < layout.USAGE_OFFSET_HISTORY + _HISTORY_BYTES:
        return Charges(at_ns)
    end = layout.USAGE_OFFSET_HISTORY + _HISTORY_BYTES
    found = sorted(_MOMENT.iter_unpack(page[layout.USAGE_OFFSET_HISTORY : end]))
    # Empty places, and what a tenant wrote of times to come, are at the ends.
    moments = found[bisect_left(found, (1, 0)) : bisect_left(found, (at_ns, 0))]
    return replace(read_newest(page, at_ns), moments=tuple(moments))


def read_newest(page: bytes, at_ns: int) -> Charges:
    """As `read_charges`, without the moments, in an eighth of the time."""
    if len(page) < layout.USAGE_HEADER_BYTES + _TOTALS.size:
        return Charges(at_ns)
    totals = _TOTALS.unpack_from(page, layout.USAGE_HEADER_BYTES)
    return Charges(
        at_ns,
        totals[layout.TOTAL_GPU_NS],
        totals[layout.TOTAL_LAUNCHES],
        measured_ns=totals[layout.TOTAL_MEASURED_NS],
        taken_ns=totals[layout.TOTAL_TAKEN_NS],
    )
