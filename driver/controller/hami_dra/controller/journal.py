"""What changed, in order, for readers that look again later and want to look at nothing else."""

from __future__ import annotations


class Journal:
    """Names of what changed. A reader remembers the position up to which it has read."""

    def __init__(self, longest: int = 10_000) -> None:
        """``longest``: with so many names it is begun anew, and readers that were behind must look at everything."""
        self._longest = longest
        self._names: list[str] = []
        self._forgotten = 0

    @property
    def position(self) -> int:
        """The end."""
        return self._forgotten + len(self._names)

    def note(self, name: str) -> None:
        """This one changed."""
        if len(self._names) >= self._longest:
            self._forgotten += len(self._names)
            self._names.clear()
        self._names.append(name)

    def since(self, position: int) -> set[str] | None:
        """What changed since a reader was at this position; None where that is no longer known."""
        if position < self._forgotten:
            return None
        return set(self._names[position - self._forgotten :])
