"""The command line."""

from pathlib import Path

import pytest

from cluster.__main__ import main, make_parser


@pytest.mark.parametrize(
    "line",
    [
        "packages",
        "programs",
        "up --name x --nodes node-a,node-b --image a.tar --image b.tar",
        "down --name x --keep-logs",
        "status",
        "logs node-a/kubelet -f",
        "exec-env --name x",
        "load-image x.tar",
        "kill node-a/kubelet",
        "kill etcd --no-restart",
        "start etcd",
        "reboot node-a",
        "stop-node node-a",
        "add-node node-c",
        "destroy-node node-b",
        "node-exec node-a ls -l /run",
        "build-image --dockerfile D --context . --tag t --output o --inputs a b",
    ],
)
def test_command_is_understood(line: str) -> None:
    """Each has something to run."""
    assert callable(make_parser().parse_args(line.split()).command)


def test_wrong_use_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one line."""
    monkeypatch.setenv("CLUSTER_STATE", str(tmp_path))
    assert main(["status", "--name", "nowhere"]) == 2
    assert capsys.readouterr().err == f"cluster: there is no cluster 'nowhere' in {tmp_path}\n"


def test_down_of_no_cluster_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning up twice is not an error."""
    monkeypatch.setenv("CLUSTER_STATE", str(tmp_path))
    assert main(["down", "--name", "nowhere"]) == 0
    assert list(tmp_path.iterdir()) == []
