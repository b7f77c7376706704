"""Errors of this package.

ApiError
├── QuantityError      a text that is no Kubernetes quantity, or not one we accept
├── ShareConfigError   opaque parameters that are no valid ShareConfig
└── MalformedObject    a Kubernetes object without a field that its API requires
"""


class ApiError(Exception):
    """Base of everything this package raises."""


class QuantityError(ApiError, ValueError):
    """A text is no Kubernetes quantity; the message shows it."""


class ShareConfigError(ApiError, ValueError):
    """Parameters are no valid ShareConfig; `problems` has one line per field, the message all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("ShareConfig: " + "; ".join(problems))
        self.problems = problems


class MalformedObject(ApiError, ValueError):
    """A Kubernetes object lacks a field or has one of the wrong type; the message names object and field."""
