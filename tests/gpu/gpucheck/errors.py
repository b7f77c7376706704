"""What can come of a step, and of the whole run.

GpuCheckError
├── CannotRun     there is no GPU, no compiler, or the command line makes no sense
├── CheckFailed   something is not as it must be
├── LeftOut       what the step needs is not on this machine
└── LimitHit      the step took longer than it may
"""


class GpuCheckError(Exception):
    """Base of all errors of this package."""


class CannotRun(GpuCheckError):
    """Nothing can be checked here; the message says what is missing."""


class CheckFailed(GpuCheckError):
    """A check did not hold; the message says what was found and what was wanted."""


class LeftOut(GpuCheckError):
    """A step does not apply here; the message says why."""


class LimitHit(GpuCheckError):
    """A step ran into its limit."""
