"""What can go wrong while a test bed is made or used.

TestbedError
├── CommandError     a program exited non-zero
└── NotReachedError  a condition did not come true in time
"""

from collections.abc import Sequence


class TestbedError(Exception):
    """Base of this package's errors."""

    __test__ = False


class CommandError(TestbedError):
    """A program exited non-zero; the message has its last output."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit status {status}\n{output.strip()[-4000:]}")
        self.status = status
        self.output = output


class NotReachedError(TestbedError):
    """A condition did not come true in time; the message says what was seen last."""
