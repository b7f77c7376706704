"""kind or the local cluster: the decision, apart from what it is made of.

Without a word from the user kind is taken exactly where it can run: an engine answers, and the node image is there or
came from a registry. Asked for kind where it cannot run, we say why rather than take something else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from testbed.errors import ChoiceError


@dataclass(frozen=True)
class Observed:
    """What a look at this machine found."""

    engine: str
    """Why no Docker engine answers; empty where one does."""
    image: str = ""
    """Why the node image cannot be had; empty where it is there or was pulled."""

    @property
    def against_kind(self) -> str:
        return self.engine or self.image


@dataclass(frozen=True)
class Choice:
    """The cluster to use and why, in one line."""

    cluster: str
    """kind or local."""
    why: str

    def __str__(self) -> str:
        return f"cluster: {self.cluster} ({self.why})"


def choose(wanted: str, look: Callable[[], Observed]) -> Choice:
    """The cluster for `wanted` (auto, kind or local); `look` is called only where its answer matters.

    Raises: ChoiceError when kind is wanted and cannot run.
    """
    if wanted == "local":
        return Choice("local", "CLUSTER=local")
    observed = look()
    if wanted == "kind":
        if observed.against_kind:
            raise ChoiceError(f"CLUSTER=kind: {observed.against_kind}; CLUSTER=local needs neither engine nor registry")
        return Choice("kind", "CLUSTER=kind")
    if observed.against_kind:
        return Choice("local", observed.against_kind)
    return Choice("kind", "a Docker engine answers and kind's node image is there")
