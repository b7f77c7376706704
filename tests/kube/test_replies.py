"""The table of errors is complete; comparison finds what was dropped and nothing else."""

import http.client
from http import HTTPStatus

import orjson
import pytest
import urllib3.exceptions
from kubernetes.client import exceptions as kubernetes_errors
from kubernetes.config.config_exception import ConfigException

from hami_dra.kube import errors
from hami_dra.kube.replies import BY_REASON, FOREIGN, dropped_fields, error_from_exception, error_from_status

# metav1.StatusReason, all of them but Unknown (which is the empty string).
STATUS_REASONS = {
    *("Unauthorized", "Forbidden", "NotFound", "AlreadyExists", "Conflict", "Gone", "Invalid", "ServerTimeout"),
    *("StoreReadError", "Timeout", "TooManyRequests", "BadRequest", "MethodNotAllowed", "NotAcceptable"),
    *("RequestEntityTooLarge", "UnsupportedMediaType", "InternalError", "Expired", "ServiceUnavailable"),
}
RAISED_ELSEWHERE = {errors.NotConfigured, errors.DroppedFields}


def subclasses(base: type[Exception]) -> set[type[Exception]]:
    """All descendants of a class."""
    return {base} | {below for child in base.__subclasses__() for below in subclasses(child)}


def test_every_status_reason_is_in_the_table() -> None:
    """No reason of the API falls back to its code."""
    assert set(BY_REASON) == STATUS_REASONS


def test_every_error_of_ours_can_come_of_a_reply() -> None:
    """An error that nothing raises would be dead, one missing in the table a gap."""
    codes = [int(code) for code in HTTPStatus if code >= 300]
    raised = {type(error_from_status("x", code, None)) for code in codes}
    raised |= {type(error_from_status("x", 400, {"reason": reason})) for reason in STATUS_REASONS}
    assert raised | RAISED_ELSEWHERE | {errors.KubeError} == subclasses(errors.KubeError)


@pytest.mark.parametrize("code", [code for code in HTTPStatus if code >= 400], ids=str)
def test_error_carries_code_and_request(code: int) -> None:
    """Whatever the code, the message names the request and the code is kept."""
    error = error_from_status("GET /x", code, None)
    assert error.code == code
    assert str(error).startswith(f"GET /x: {int(code)}")


@pytest.mark.parametrize(
    "base",
    [
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        kubernetes_errors.OpenApiException,
        ConfigException,
        OSError,
        orjson.JSONDecodeError,
    ],
    ids=lambda base: base.__qualname__,
)
def test_every_foreign_error_is_caught(base: type[Exception]) -> None:
    """Whatever the libraries below us raise is within the table."""
    assert all(issubclass(kind, FOREIGN) for kind in subclasses(base))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (urllib3.exceptions.ProtocolError("cut"), errors.Unavailable),
        (kubernetes_errors.ApiException(status=0, reason="SSLError"), errors.Unavailable),
        (ConnectionResetError("reset"), errors.Unavailable),
        (http.client.BadStatusLine("?"), errors.Unavailable),
        (ConfigException("expired"), errors.Unauthorized),
        (orjson.JSONDecodeError("?", "?", 0), errors.UnexpectedReply),
    ],
    ids=lambda value: type(value).__qualname__ if isinstance(value, Exception) else "",
)
def test_foreign_error_is_translated_with_its_text(error: Exception, wanted: type[Exception]) -> None:
    """The message names the request and what went wrong below."""
    translated = error_from_exception("GET /x", error)
    assert type(translated) is wanted
    assert str(translated).startswith(f"GET /x: {type(error).__name__}: ")


@pytest.mark.parametrize(
    ("sent", "stored", "dropped"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ()),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 1, "timeAdded": "now"}]}}, ()),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}, ()),
        ({"flag": False, "list": []}, {}, ()),
        ({"shareID": "x"}, {}, ("shareID",)),
        ({"a": {"b": [{"taints": [1]}]}}, {"a": {"b": [{}]}}, ("a.b[0].taints",)),
        ({"list": [1, 2]}, {"list": [1]}, ("list",)),
        ({"memory": "1Gi"}, {"memory": "2Gi"}, ("memory",)),
        ({"name": "a"}, {"name": "b"}, ("name",)),
    ],
    ids=["added", "defaulted", "canonical", "empty", "field", "nested", "shorter", "quantity", "changed"],
)
def test_comparison_names_what_was_not_kept(sent: object, stored: object, dropped: tuple[str, ...]) -> None:
    """Additions, canonical quantities and empty values are no loss; everything else is."""
    assert dropped_fields(sent, stored) == dropped
