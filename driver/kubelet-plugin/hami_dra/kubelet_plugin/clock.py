"""Wall-clock time in Kubernetes' spelling."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp() -> str:
    """Now, to the second, as RFC 3339 in UTC: what the API server stores of a metav1.Time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
