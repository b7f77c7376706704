"""What can go wrong while a test bed is made or used.

TestbedError
├── CommandError     a program exited non-zero
├── ReadError        the API server did not say what it holds
├── NotReachedError  a condition did not come true in time
├── NoClusterError   there is no cluster of that name
└── SettingError     the environment asks for something that does not exist
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


class ReadError(TestbedError):
    """The API server did not say what it holds; the message has the request and its error."""


class NotReachedError(TestbedError):
    """A condition did not come true in time; the message says what was seen last."""


class NoClusterError(TestbedError):
    """There is no cluster of that name."""


class SettingError(TestbedError):
    """The environment asks for something that does not exist."""
