"""Reading what the API server answered: foreign errors become ours, stored objects are compared with what was sent."""

import http.client
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import urllib3.exceptions
from kubernetes.client.exceptions import OpenApiException
from kubernetes.config.config_exception import ConfigException

from hami_dra.api.errors import QuantityError
from hami_dra.api.quantity import parse_nano
from hami_dra.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)

# metav1.StatusReason says more than the code: 409 is AlreadyExists or Conflict.
BY_REASON: Final[Mapping[str, type[KubeError]]] = {
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Gone": Gone,
    "Expired": Gone,
    "Invalid": Invalid,
    "BadRequest": Invalid,
    "MethodNotAllowed": Invalid,
    "NotAcceptable": Invalid,
    "RequestEntityTooLarge": Invalid,
    "UnsupportedMediaType": Invalid,
    "ServerTimeout": Unavailable,
    "Timeout": Unavailable,
    "StoreReadError": Unavailable,
    "TooManyRequests": Unavailable,
    "InternalError": Unavailable,
    "ServiceUnavailable": Unavailable,
}

BY_CODE: Final[Mapping[int, type[KubeError]]] = {
    HTTPStatus.BAD_REQUEST: Invalid,
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.METHOD_NOT_ALLOWED: Invalid,
    HTTPStatus.NOT_ACCEPTABLE: Invalid,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Invalid,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Invalid,
    HTTPStatus.UNPROCESSABLE_ENTITY: Invalid,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
}

# Everything that a request can raise below us; what is not here is a bug and passes through.
BY_EXCEPTION: Final[Mapping[type[Exception], type[KubeError]]] = {
    urllib3.exceptions.HTTPError: Unavailable,
    http.client.HTTPException: Unavailable,
    OSError: Unavailable,
    OpenApiException: Unavailable,
    ConfigException: Unauthorized,
    orjson.JSONDecodeError: UnexpectedReply,
}
FOREIGN: Final = tuple(BY_EXCEPTION)


def error_from_status(what: str, code: int, status: object, retry_after: str | None = None) -> KubeError:
    """The error for an HTTP `code` and the decoded body, usually a metav1.Status. `what` names the request."""
    body: dict[str, Any] = status if isinstance(status, dict) else {}
    reason = str(body.get("reason") or "")
    message = f"{what}: {code} {reason}: {body.get('message') or 'no message'}"
    kind = BY_REASON.get(reason) or BY_CODE.get(code)
    if kind is None:
        kind = Unavailable if code >= HTTPStatus.INTERNAL_SERVER_ERROR else UnexpectedReply
    if kind is Unavailable:
        delay = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
        return Unavailable(message, code=code, reason=reason, retry_after_seconds=delay)
    return kind(message, code=code, reason=reason)


def error_from_exception(what: str, error: Exception) -> KubeError:
    """The error for one of FOREIGN; the narrowest entry of the table decides."""
    kind = next(BY_EXCEPTION[base] for base in type(error).__mro__ if base in BY_EXCEPTION)
    return kind(f"{what}: {type(error).__name__}: {error}")


def dropped_fields(sent: object, stored: object) -> tuple[str, ...]:
    """Paths of what was sent but is not stored so. Additions do not count, nor do other spellings of a quantity."""
    return tuple(_differences(sent, stored, ""))


def _differences(sent: object, stored: object, path: str) -> Iterator[str]:
    if isinstance(sent, dict) and isinstance(stored, dict):
        for key, value in sent.items():
            yield from _differences(value, stored.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        for index, (value, kept) in enumerate(zip(sent, stored, strict=True)):
            yield from _differences(value, kept, f"{path}[{index}]")
    elif sent != stored and not _says_nothing(sent, stored) and not _equal_quantities(sent, stored):
        yield path


def _says_nothing(sent: object, stored: object) -> bool:
    return stored is None and (sent is None or sent in ("", [], {}, False))


def _equal_quantities(sent: object, stored: object) -> bool:
    if not isinstance(sent, str) or not isinstance(stored, str):
        return False
    try:
        return parse_nano(sent) == parse_nano(stored)
    except QuantityError:
        return False
