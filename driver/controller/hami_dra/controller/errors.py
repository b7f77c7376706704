"""Errors of the controller.

ControllerError
├── BadClaim        the claim itself can never be served as it is written; the message is for its author
│   └── SelectorError   a CEL expression does not compile, or failed on a device
├── BudgetExhausted the search was cut off before it found or excluded a placement
├── NotLeader       a write was attempted without, or too close to the end of, leadership
├── TurnOver        the selectors of a claim take longer to evaluate than one turn lasts; the next one goes on
├── ServingError    the address of the status pages cannot be had
└── SettingsError   a setting cannot be understood
"""

from __future__ import annotations


class ControllerError(Exception):
    """Base of every error the controller raises."""


class BadClaim(ControllerError):
    """The claim can never be served as it is written. The message names the object, what was found and wanted."""


class SelectorError(BadClaim):
    """A CEL expression does not compile, or failed on a device: that is not "false", it fails the claim."""


class BudgetExhausted(ControllerError):
    """The search for a placement was cut off by its budget; nothing is known about whether one exists."""


class NotLeader(ControllerError):
    """A write was attempted by a process that does not, or not safely, hold the lease."""


class TurnOver(ControllerError):
    """The selectors of a claim take longer to evaluate than one turn lasts; what was found out stays known."""


class ServingError(ControllerError):
    """The status pages cannot be served at the address that was asked for."""


class SettingsError(ControllerError):
    """A setting cannot be understood. The message names it, what was found and what was wanted."""
