"""Kubeconfigs for the ServiceAccounts of the chart, so that their RBAC is real."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from hami_dra.kube.transport import Client

_HOURS = 24


def service_account_kubeconfig(client: Client, namespace: str, name: str, *, server: str, authority: Path) -> str:
    """A kubeconfig with a token that the API server issues to this ServiceAccount. Raises KubeError."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _HOURS * 3600},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    token = client.create(path, request)["status"]["token"]
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode()}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
    }
    return json.dumps(kubeconfig, indent=1)
