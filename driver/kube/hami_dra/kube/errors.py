"""Errors of this package.

KubeError
├── NotConfigured     neither a pod's service account nor a kubeconfig was found
├── NotFound          404
├── AlreadyExists     409 on create
├── Conflict          409: the object changed since it was read
├── Gone              410: the resourceVersion or continue token is too old
├── Invalid           400, 422 and other requests that will never be accepted as they are
├── Forbidden         403
├── Unauthorized      401
├── Unavailable       no answer, a timeout, 429 or 5xx: try again later
├── UnexpectedReply   an answer that is no Kubernetes reply
└── DroppedFields     the API server accepted a write without some of its fields
"""

from typing import Any


class KubeError(Exception):
    """Base of everything this package raises. `code` is the HTTP status (0 without one), `reason` Kubernetes' own."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class NotConfigured(KubeError):
    """There is no way to find or enter the cluster."""


class NotFound(KubeError):
    """The object, or its whole kind, does not exist."""


class AlreadyExists(KubeError):
    """An object of that name is there."""


class Conflict(KubeError):
    """The object changed since it was read, or a precondition failed: read again, decide again."""


class Gone(KubeError):
    """The resourceVersion or continue token is too old: list afresh."""


class Invalid(KubeError):
    """The request will never be accepted as it is."""


class Forbidden(KubeError):
    """We lack a permission."""


class Unauthorized(KubeError):
    """Our credentials are not accepted."""


class Unavailable(KubeError):
    """No answer or none yet. A write may have happened. `retry_after_seconds` is the server's wish."""

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class UnexpectedReply(KubeError):
    """The answer is not what an API server says."""


class DroppedFields(KubeError):
    """A write was stored without some of its fields: `paths` names them, `reply` is what was stored."""

    def __init__(self, what: str, paths: tuple[str, ...], reply: dict[str, Any]) -> None:
        super().__init__(f"{what}: the API server did not keep {', '.join(paths)}")
        self.paths = paths
        self.reply = reply
