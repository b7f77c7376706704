"""What an expression says of every GPU, where it may say something else of each.

Most expressions read what few GPUs differ in, and one GPU of a kind is asked for all. One that may read anything, or
that reads more of a UUID than whether it is this one, is asked of each GPU: once, and in parts, since that takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hami_dra.controller.asks import Matcher
from hami_dra.controller.columns import Columns
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import Gpu

Interrupted = Callable[[], bool]
"""Whether whoever computes should let others go first; asked after each part of the work."""
Answer = bool | None
"""None: the expression has no value."""


def never() -> bool:
    """Nobody waits."""
    return False


class Answers:
    """The answers of one expression, by node."""

    def __init__(self, expression: str, columns: Columns, matches: Matcher) -> None:
        self._expression = expression
        self._columns = columns
        self._matches = matches
        self._position = 0
        self._unknown: dict[str, list[Answer]] = {}
        self._of_node: dict[str, tuple[Answer, ...]] = {}
        self._kept: dict[tuple[Answer, ...], tuple[Answer, ...]] = {}

    def find(self, interrupted: Interrupted) -> bool:
        """Ask for GPUs that are new or changed, until interrupted; whether all are known now."""
        self._follow()
        for node, found in list(self._unknown.items()):
            gpus = self._columns.gpus[node]
            for gpu in gpus[len(found) :]:
                found.append(self._ask(gpu))
                if interrupted() and len(found) < len(gpus):
                    return False
            answers = tuple(found)
            self._of_node[node] = self._kept.setdefault(answers, answers)  # Most nodes have the same.
            del self._unknown[node]
            if interrupted():
                return False  # Also after the last one: what is asked next may take as long.
        return True

    def of(self, nodes: Iterable[str]) -> Iterator[tuple[Answer, ...]]:
        """For each of the nodes the answers for its GPUs in order."""
        return map(self._of_node.__getitem__, nodes)

    def _follow(self) -> None:
        columns = self._columns
        changed = columns.journal.since(self._position)
        self._position = columns.journal.position
        if changed is None:
            changed = self._of_node.keys() | self._unknown.keys() | columns.gpus.keys()
        for node in sorted(changed):
            self._of_node.pop(node, None)
            self._unknown.pop(node, None)
            if node in columns.gpus:
                self._unknown[node] = []

    def _ask(self, gpu: Gpu) -> Answer:
        try:
            return self._matches(self._expression, gpu)
        except SelectorError:
            return None
