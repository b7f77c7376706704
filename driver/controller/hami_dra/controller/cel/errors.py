"""Errors of CEL expressions, without the expression and the device: whoever knows these adds them.

CelError
├── CelSyntaxError      the text cannot be compiled
├── CelEvaluationError  an operand has no such key, overload …; ``&&``, ``||`` and some macros absorb it
└── CelBudgetError      the evaluation costs too much; nothing absorbs it
"""

from __future__ import annotations

from hami_dra.controller.errors import ControllerError


class CelError(ControllerError):
    """Base of what can be wrong with an expression; the message is for its author."""


class CelSyntaxError(CelError):
    """The text is no expression, or names what does not exist."""


class CelEvaluationError(CelError):
    """The expression has no value for these attributes."""


class CelBudgetError(CelError):
    """The evaluation was cut off by its cost budget."""
