"""Certificates and kubeconfigs: a CA of the cluster's own signs everybody, as kubeadm does it.

Client certificates rather than a token file: the API server reads that one only at start, and nodes come later.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.layout import API_ADDRESS, GATEWAY
from cluster.processes import run

_DAYS = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Identity:
    """A user or a server: the name of its files, and who it is to the others."""

    name: str
    common_name: str
    organization: str = ""
    """The group of a user."""
    subject_alternative_names: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return (f"/O={self.organization}" if self.organization else "") + f"/CN={self.common_name}"

    @property
    def extensions(self) -> str:
        """The text of an openssl extension file."""
        if not self.subject_alternative_names:
            return "extendedKeyUsage=clientAuth\n"
        return f"extendedKeyUsage=serverAuth\nsubjectAltName={','.join(self.subject_alternative_names)}\n"


API_SERVER = Identity(
    "api-server",
    "kube-apiserver",
    subject_alternative_names=(
        "DNS:localhost",
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
        "IP:127.0.0.1",
        f"IP:{API_ADDRESS}",
        f"IP:{GATEWAY}",
    ),
)
ADMIN = Identity("admin", "kubernetes-admin", "system:masters")
KUBELET_CLIENT = Identity("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
CONTROLLER_MANAGER = Identity("kube-controller-manager", "system:kube-controller-manager")
SCHEDULER = Identity("kube-scheduler", "system:kube-scheduler")


def node_identity(node: str) -> Identity:
    """Who a kubelet is to the Node authorizer and to NodeRestriction."""
    return Identity(f"node-{node}", f"system:node:{node}", "system:nodes")


def client_identity(user: str, group: str = "") -> Identity:
    """A user of any name; a colon is no part of a file's name everywhere."""
    return Identity(f"client-{user}-{group}".translate(str.maketrans(":/", "__")), user, group)


def make_authority(pki: Path) -> None:
    """The CA and the key that signs ServiceAccount tokens; made once."""
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    if not (pki / "ca.crt").exists():
        subject = ["-days", _DAYS, "-subj", "/CN=local-cluster-ca"]
        run(["openssl", "req", "-x509", *_NEW_KEY, "-keyout", pki / "ca.key", "-out", pki / "ca.crt", *subject])
    if not (pki / "service-account.pub").exists():
        key = pki / "service-account.key"
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key])
        run(["openssl", "pkey", "-in", key, "-pubout", "-out", pki / "service-account.pub"])


def issue(pki: Path, identity: Identity) -> None:
    """Key and certificate of an identity, signed by the CA; made once."""
    certificate, key, request = (pki / f"{identity.name}.{suffix}" for suffix in ("crt", "key", "csr"))
    if certificate.exists():
        return
    extensions = pki / f"{identity.name}.ext"
    extensions.write_text(identity.extensions)
    run(["openssl", "req", *_NEW_KEY, "-keyout", key, "-out", request, "-subj", identity.subject])
    authority: list[str | Path] = ["-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-CAcreateserial"]
    signed: list[str | Path] = ["-in", request, "-out", certificate, "-days", _DAYS, "-extfile", extensions]
    run(["openssl", "x509", "-req", *authority, *signed])


def kubeconfig(pki: Path, identity: Identity, server: str) -> dict[str, Any]:
    """A kubeconfig for this identity that needs no other file."""
    cluster = {"server": server, "certificate-authority-data": _base64(pki / "ca.crt")}
    user = {
        "client-certificate-data": _base64(pki / f"{identity.name}.crt"),
        "client-key-data": _base64(pki / f"{identity.name}.key"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": identity.name, "user": user}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": identity.name}}],
    }


def write_kubeconfig(path: Path, pki: Path, identity: Identity, server: str) -> None:
    """Write a kubeconfig that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(kubeconfig(pki, identity, server), indent=1) + "\n")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
