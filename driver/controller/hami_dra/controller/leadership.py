"""Under which term of the lease this process decides, and that nothing is written under another."""

from __future__ import annotations

from collections.abc import Callable


class Leadership:
    """``term``: the number of the term in which this process leads now, 0 when it does not.

    Who led, stood still while another did and leads again has a new term. What it decided before must not be written
    then, though it leads.
    """

    def __init__(self, term: Callable[[], int]) -> None:
        self._term = term
        self._begun = 0

    @property
    def term(self) -> int:
        """The term that the lease gives now; 0 for none."""
        return self._term()

    @property
    def begun(self) -> int:
        """The term in which decisions are made; 0 while none are."""
        return self._begun

    def begin(self, term: int) -> None:
        """Decide from now on in this term; 0: decide nothing. Only the decision thread calls this."""
        self._begun = term

    def may_write(self) -> bool:
        """Whether what is being decided, or was in the term that has begun, may be written now; on any thread."""
        return self._begun != 0 and self._term() == self._begun
