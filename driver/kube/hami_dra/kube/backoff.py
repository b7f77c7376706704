"""How long to wait after a failure."""

import random
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Doubles from `initial` to `ceiling` seconds. Half of each delay is random, so that clients spread out."""

    initial: float = 0.5
    ceiling: float = 30.0
    chance: random.Random = field(default_factory=random.Random)
    _failures: int = 0

    def next(self) -> float:
        """The seconds to wait after one more failure."""
        full = min(self.ceiling, self.initial * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return full * (0.5 + 0.5 * self.chance.random())

    def reset(self) -> None:
        """Something worked: the next failure is the first again."""
        self._failures = 0
