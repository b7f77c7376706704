"""What part of a measured launch is the share's own, by what its neighbours are charged meanwhile: pure.

Where others work, a launch of several time slices is measured with theirs in between, two or three times too
long, and NVML says so a second later. The neighbours' ledgers say at once how much of the GPU they have.

Only neighbours whose launches fit in a slice count: they are measured rightly, and there between any two slices.
Longer ones come in lumps, which the least of the last measurements may have missed. Nobody counts for more
than its percent, so that one who lies about itself gives away no more than it could have used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import Charges
from hami_dra.kubelet_plugin.entries import ShareResult

# As NVIDIA's drivers have it where nobody sets another.
SLICE_NS = 2_000_000
LEAST_PART = layout.CORRECTION_MIN / layout.CORRECTION_ONE
_READINGS = 3
_KEPT = 0.7
_WORKS = 0.01
_WHOLE_PERCENT = 100


@dataclass
class _Account:
    """A share's ledger over its last readings. Launches are as long as they were measured, not as corrected."""

    readings: deque[Charges] = field(default_factory=lambda: deque(maxlen=_READINGS))
    measured_ns: float = 0.0
    launches: float = 0.0

    def read(self, charges: Charges, correction: int) -> None:
        self.readings.append(charges)
        before, now = next(pairwise(list(self.readings)[-2:]), (charges, charges))
        if now.launches > before.launches:
            self.measured_ns, self.launches = self.measured_ns * _KEPT, self.launches * _KEPT
        self.measured_ns += (now.gpu_ns - before.gpu_ns) * layout.CORRECTION_ONE / (correction or layout.CORRECTION_ONE)
        self.launches += now.launches - before.launches

    @property
    def launch_ns(self) -> float:
        return self.measured_ns / self.launches if self.launches > 0 else 0.0

    def rate(self, most: float) -> float:
        first, last = self.readings[0], self.readings[-1]
        length = last.at_ns - first.at_ns
        return min(max((last.gpu_ns - first.gpu_ns) / length, 0.0), most) if length > 0 else 0.0


class Neighbours:
    """Remembers the last ledgers of shares. For one thread."""

    def __init__(self) -> None:
        self._accounts: dict[ShareId, _Account] = {}

    def own_parts(
        self, shares: Iterable[ShareResult], charges: Mapping[ShareId, Charges], corrections: Mapping[ShareId, int]
    ) -> dict[ShareId, float]:
        """By share, LEAST_PART to 1; `corrections`: by which the shares were charged since the last time."""
        shares = list(shares)
        known = self._accounts
        self._accounts = {share.share_id: known.get(share.share_id, _Account()) for share in shares}
        for share_id, account in self._accounts.items():
            account.read(charges[share_id], corrections.get(share_id, 0))
        return {share.share_id: self._own_part(share, shares) for share in shares}

    def _own_part(self, share: ShareResult, shares: Iterable[ShareResult]) -> float:
        others = [other for other in shares if other.uuid == share.uuid and other is not share]
        rates = [rate for rate in map(self._rate_in_slices, others) if rate > _WORKS]
        length = self._accounts[share.share_id].launch_ns
        # What fits in a slice may have been cut in two, each time.
        cut_in_two = SLICE_NS * (len(rates) + 1)
        sure = min(max(length / cut_in_two - 1, 0.0), 1.0)
        if not sure:
            return 1.0
        part = (SLICE_NS + (length - SLICE_NS) * _level(rates)) / length
        return max(1 - (1 - part) * sure, LEAST_PART)

    def _rate_in_slices(self, share: ShareResult) -> float:
        account = self._accounts[share.share_id]
        is_hard = share.core_limit == "hard" and share.core_percent > 0
        most = share.core_percent / _WHOLE_PERCENT if is_hard else 1.0
        return account.rate(most) if 0 < account.launch_ns <= SLICE_NS else 0.0


def _level(rates: Iterable[float]) -> float:
    """What one that always has work gets, by turns with others of whom none wants more than its rate."""
    rates, left = sorted(rates), 1.0
    for number, rate in enumerate(rates):
        takers = len(rates) - number + 1
        if rate >= left / takers:
            return left / takers
        left -= rate
    return left
