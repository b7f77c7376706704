"""What can go wrong with a hollow cluster.

HollowError
├── ReplicaError   a replica of the controller is not running, or does not answer
└── WriteError     objects could not be written; names the first
"""


class HollowError(Exception):
    """Base of this package's errors."""


class ReplicaError(HollowError):
    """A replica of the controller is not running, or does not answer."""


class WriteError(HollowError):
    """Objects could not be written; the message names the first and says how many."""
