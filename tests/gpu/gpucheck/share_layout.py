"""The files of a share and where a container has them, as the kubelet plugin lays them out: pure."""

from __future__ import annotations

from dataclasses import dataclass

from gpucheck.ledger import NODE_BYTES, USAGE_BYTES

VERSION = "gpu-check"
PRELOAD = "etc/ld.so.preload"
LIBRARY = f"etc/libhami_share-{VERSION}.so"


@dataclass(frozen=True)
class Terms:
    """What a share is of."""

    uuid: str
    memory_bytes: int
    core_percent: int = 0


def share_id(number: int) -> str:
    """The name of the share's folder."""
    return f"5be9c000-0000-4000-8000-{number:012d}"


def folder_of(number: int) -> str:
    """Relative to the container's root."""
    return f"run/hami/shares/{share_id(number)}"


def limits_text(terms: Terms, number: int) -> str:
    """The read-only file that says what the limits are."""
    core_limit = "hard" if terms.core_percent else "none"
    return (
        f"layout 1\nshare {share_id(number)}\nuuid {terms.uuid}\nmemory {terms.memory_bytes}\n"
        f"cores {terms.core_percent}\ncore_limit {core_limit}\n"
    )


def files_of(terms: Terms, number: int) -> dict[str, bytes]:
    """Everything but the library, by path relative to the container's root."""
    folder = folder_of(number)
    return {
        PRELOAD: f"/{LIBRARY}\n".encode(),
        f"{folder}/limits": limits_text(terms, number).encode(),
        f"{folder}/node": bytes(NODE_BYTES),
        f"{folder}/usage": bytes(USAGE_BYTES),
    }


def variable_of(terms: Terms) -> str:
    """The environment variable that says the same to a program without a container."""
    return f"uuid={terms.uuid},memory={terms.memory_bytes},cores={terms.core_percent}"
