"""The few questions a cluster asks its own API server; tests use a real client."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class ApiProbe:
    """Reads from the API server at a port of the host's loopback, as one user."""

    port: int
    pki: Path
    user: str

    def ready(self) -> bool:
        """Whether the API server answers and says that it is ready."""
        return self._get("/readyz") == b"ok"

    def ready_boots(self) -> dict[str, str]:
        """Each Ready node's name and the boot ID that it reported; empty while the API server does not answer."""
        body = self._get("/api/v1/nodes")
        return {} if body is None else ready_boots(json.loads(body))

    def has_default_service_account(self) -> bool:
        """Whether pods can be created in the namespace `default`."""
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _get(self, path: str) -> bytes | None:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / f"{self.user}.crt", self.pki / f"{self.user}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS, context=context)
        try:
            connection.request("GET", path)
            with connection.getresponse() as response:
                body = response.read()
                return body if response.status == http.client.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def ready_boots(node_list: dict[str, Any]) -> dict[str, str]:
    """Name and boot ID of each Ready node of a NodeList."""
    return {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["bootID"]
        for node in node_list["items"]
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
