"""The API server behind the proxy: where it is, how it is trusted, and who the proxy is to it."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import yaml

TIMEOUT_SECONDS = 90.0
"""Longer than the API server takes over any request, and than the pause between two bookmarks of a watch."""


@dataclass(frozen=True)
class Upstream:
    """An API server at http:// or https://; `tls` also holds the client's certificate, where it has one."""

    url: str
    tls: ssl.SSLContext | None = None
    token: str = ""
    """Sent where the client sends no credentials of its own."""

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    def connect(self) -> HTTPConnection:
        """A new connection, not opened yet."""
        if self.tls is None:
            return HTTPConnection(self.host, timeout=TIMEOUT_SECONDS)
        return HTTPSConnection(self.host, timeout=TIMEOUT_SECONDS, context=self.tls)


def upstream_of(kubeconfig: Path) -> Upstream:
    """The API server of a kubeconfig's only context, with the credentials in it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    if urlsplit(cluster["server"]).scheme == "http":
        return Upstream(cluster["server"], token=user.get("token", ""))
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    # The local cluster's authority is made by `openssl req`, whose extensions newer Pythons find too few.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if "client-certificate-data" in user:
        _load_certificate(tls, user["client-certificate-data"], user["client-key-data"])
    return Upstream(cluster["server"], tls, user.get("token", ""))


def write_kubeconfig(path: Path, server: str, token: str = "") -> None:
    """Write a kubeconfig for the proxy's client."""
    user = {"token": token} if token else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "proxy", "user": user}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    }
    path.write_text(json.dumps(config))


def _load_certificate(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    # Python reads them from files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        file.flush()
        tls.load_cert_chain(file.name)
