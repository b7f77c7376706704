"""Certificates and kubeconfigs, made by the real openssl."""

import base64
import json
from pathlib import Path

import pytest

from cluster import credentials
from cluster.processes import run


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with the API server's certificate and a node's."""
    folder = tmp_path_factory.mktemp("pki")
    credentials.make_authority(folder)
    credentials.issue(folder, credentials.API_SERVER)
    credentials.issue(folder, credentials.node_identity("node-a"))
    return folder


def text_of(certificate: Path) -> str:
    return run(["openssl", "x509", "-in", certificate, "-noout", "-text"])


@pytest.mark.parametrize("name", ["127.0.0.1", "10.96.0.1", "10.250.0.1", "kubernetes.default.svc"])
def test_api_server_is_trusted_under_every_name(pki: Path, name: str) -> None:
    """From the host, from pods and from nodes."""
    assert f":{name}" in text_of(pki / "api-server.crt")


def test_node_certificate_makes_a_node_user(pki: Path) -> None:
    """What the Node authorizer and NodeRestriction look for."""
    subject = run(["openssl", "x509", "-in", pki / "node-node-a.crt", "-noout", "-subject"])
    assert "O = system:nodes" in subject
    assert "CN = system:node:node-a" in subject
    assert "TLS Web Client Authentication" in text_of(pki / "node-node-a.crt")


def test_certificates_are_signed_by_the_authority(pki: Path) -> None:
    """openssl verifies them."""
    assert "OK" in run(["openssl", "verify", "-CAfile", pki / "ca.crt", pki / "node-node-a.crt"])


def test_issuing_again_changes_nothing(pki: Path) -> None:
    """A cluster that comes up again keeps its certificates."""
    before = (pki / "api-server.crt").read_bytes()
    credentials.make_authority(pki)
    credentials.issue(pki, credentials.API_SERVER)
    assert (pki / "api-server.crt").read_bytes() == before


def test_kubeconfig_is_whole_and_private(pki: Path, tmp_path: Path) -> None:
    """It needs no other file, and only its owner reads it."""
    path = tmp_path / "kubeconfig"
    credentials.write_kubeconfig(path, pki, credentials.node_identity("node-a"), "https://127.0.0.1:1")
    config = json.loads(path.read_text())
    assert base64.b64decode(config["users"][0]["user"]["client-key-data"]).startswith(b"-----BEGIN")
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert path.stat().st_mode & 0o077 == 0
