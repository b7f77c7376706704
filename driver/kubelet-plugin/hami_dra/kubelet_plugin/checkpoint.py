"""The checkpoint's bytes: schema 1 holds all claims in one file, schema 2 one claim.

The first line names schema and SHA-256 of every byte after it, so that no
re-marshalling by another version can change the sum. Unknown fields are
ignored: an older plugin reads what a newer one of the same schema wrote.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hami_dra.api.names import ClaimUid, DeviceName, ShareId
from hami_dra.kubelet_plugin.entries import ClaimRef, Entries, Entry, ShareResult, State
from hami_dra.kubelet_plugin.errors import CheckpointCorrupt

SCHEMA_OF_ALL = 1
SCHEMA_OF_ONE = 2


def encode(entries: Entries) -> bytes:
    """The content of a file with all these entries, ordered by claim UID."""
    return _seal(SCHEMA_OF_ALL, {"claims": [_entry_to_json(entries[uid]) for uid in sorted(entries)]})


def encode_entry(entry: Entry) -> bytes:
    """The content of a file with one entry."""
    return _seal(SCHEMA_OF_ONE, _entry_to_json(entry))


def decode(data: bytes) -> dict[ClaimUid, Entry]:
    """The entries of a file with all of them.

    Raises:
        CheckpointCorrupt: bytes that `encode` of any version of this schema did not write.
    """
    body = _open(SCHEMA_OF_ALL, data)
    try:
        entries = [_entry_from_json(item) for item in body["claims"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointCorrupt(f"an entry is malformed: {error!r}") from error
    return {entry.claim.uid: entry for entry in entries}


def decode_entry(data: bytes) -> Entry:
    """The entry of a file with one.

    Raises:
        CheckpointCorrupt: bytes that `encode_entry` of any version of this schema did not write.
    """
    try:
        return _entry_from_json(_open(SCHEMA_OF_ONE, data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointCorrupt(f"it is malformed: {error!r}") from error


def _seal(schema: int, content: object) -> bytes:
    body = _dump(content) + b"\n"
    return _dump({"schema": schema, "sha256": hashlib.sha256(body).hexdigest()}) + b"\n" + body


def _open(schema: int, data: bytes) -> dict[str, Any]:
    head, separator, body = data.partition(b"\n")
    if not separator:
        raise CheckpointCorrupt("it has no header line")
    header = _load(head, "header")
    if header.get("schema") != schema:
        raise CheckpointCorrupt(f"its schema is {header.get('schema')!r}, this version reads {schema}")
    if header.get("sha256") != hashlib.sha256(body).hexdigest():
        raise CheckpointCorrupt("its checksum does not match its content")
    return _load(body, "body")


def _load(data: bytes, part: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointCorrupt(f"its {part} is not JSON") from error
    if not isinstance(value, dict):
        raise CheckpointCorrupt(f"its {part} is not a JSON object")
    return value


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {
        "state": entry.state.value,
        "bootID": entry.boot_id,
        "claim": {"namespace": entry.claim.namespace, "name": entry.claim.name, "uid": entry.claim.uid},
        "results": [_result_to_json(result) for result in entry.results],
        "library": entry.library,
        "podClaim": entry.pod_claim,
    }


def _entry_from_json(item: dict[str, Any]) -> Entry:
    claim = item["claim"]
    return Entry(
        state=State(item["state"]),
        boot_id=_text(item["bootID"]),
        claim=ClaimRef(_text(claim["namespace"]), _text(claim["name"]), ClaimUid(_text(claim["uid"]))),
        results=tuple(_result_from_json(result) for result in item["results"]),
        library=_text(item["library"]),
        pod_claim=None if item.get("podClaim") is None else _text(item["podClaim"]),
    )


def _result_to_json(result: ShareResult) -> dict[str, Any]:
    return {
        "request": result.request,
        "device": result.device,
        "uuid": result.uuid,
        "shareID": result.share_id,
        "memory": result.memory_bytes,
        "cores": result.core_percent,
        "coreLimit": result.core_limit,
        "priority": result.priority,
        "adminAccess": result.admin_access,
        "cdiIDs": list(result.cdi_ids),
    }


def _result_from_json(item: dict[str, Any]) -> ShareResult:
    priority = item.get("priority")
    return ShareResult(
        request=_text(item["request"]),
        device=DeviceName(_text(item["device"])),
        uuid=_text(item["uuid"]),
        share_id=ShareId(_text(item["shareID"])),
        memory_bytes=_number(item["memory"]),
        core_percent=_number(item["cores"]),
        core_limit=_text(item["coreLimit"]),
        priority=None if priority is None else _number(priority),
        admin_access=bool(item.get("adminAccess", False)),
        cdi_ids=tuple(_text(cdi_id) for cdi_id in item["cdiIDs"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value
