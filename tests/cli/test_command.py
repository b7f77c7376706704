"""The program as an operator runs it."""

from __future__ import annotations

import importlib.metadata
import json
import sys

import pytest
from fake_api_server import FakeApiServer
from read_cluster import CLAIM, POD, fill

from hami_dra.api import names
from hami_dra.cli.doctor.command import examine
from hami_dra.cli.main import main
from hami_dra.kube import paths
from hami_dra.kube.transport import connect


def doctor(kubeconfig: str, *options: str) -> int:
    """Run the command; its exit status."""
    return main(["doctor", "--kubeconfig", kubeconfig, "--settle", "0", *options])


def test_a_sound_cluster_gives_one_line_and_status_0(
    server: FakeApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says how much was looked at."""
    fill(server)
    assert doctor(kubeconfig) == 0
    said = capsys.readouterr().out
    assert said == "Nothing found in 4 GPUs of gpu.hami.io in 1 pool, 2 claims (1 allocated), 1 pod.\n"


def test_a_problem_is_told_with_object_and_remedy_and_status_1(
    server: FakeApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found and wanted of each object, then what to do about each kind."""
    fill(server)
    server.remove(POD)
    assert doctor(kubeconfig) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "allocation-without-consumer: ResourceClaim default/claim",
        "  found:  reserved for pod pod, and no pod that runs or waits names the claim",
        "  wanted: a pod that uses it, or no allocation",
    ]
    assert any(line.startswith("  allocation-without-consumer: see whether ") for line in lines)
    assert lines[-1].startswith("1 problem in 4 GPUs")


def test_json_has_the_same_for_programs(
    server: FakeApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Problems with their objects, and what was read."""
    fill(server)
    server.remove(POD)
    assert doctor(kubeconfig, "--output", "json") == 1
    said = json.loads(capsys.readouterr().out)
    (problem,) = said["problems"]
    assert problem["kind"] == "allocation-without-consumer"
    assert problem["object"] == {
        "kind": "ResourceClaim",
        "namespace": "default",
        "name": "claim",
        "uid": server.object(CLAIM)["metadata"]["uid"],
    }
    assert {"found", "wanted", "remedy"} <= problem.keys()
    assert said["read"] == {"pools": 1, "gpus": 4, "claims": 2, "allocatedClaims": 1, "pods": 0}


def test_a_list_that_is_refused_is_named_with_status_2(
    server: FakeApiServer, kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a permission it says which one, and nothing about the cluster."""
    fill(server)
    server.fail(403, "Forbidden", path="pods", message='pods is forbidden: User "x" cannot list resource "pods"')
    assert doctor(kubeconfig) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hami-dra: GET /api/v1/pods: ")
    assert "cannot list" in said.err


def test_a_kubeconfig_that_is_not_there_gives_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The message says where it looked."""
    assert doctor("/nowhere/kubeconfig") == 2
    assert "/nowhere/kubeconfig" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "inf"])
def test_a_time_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what was found and what was wanted."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", f"--settle={seconds}"])
    assert ended.value.code == 2
    assert f"found '{seconds}', wanted a number of seconds, 0 or more" in capsys.readouterr().err


def test_without_a_command_the_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no default command."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_a_state_that_passes_while_it_waits_is_no_problem(server: FakeApiServer, kubeconfig: str) -> None:
    """The second read, after the wait, has the claim freed."""
    fill(server)
    server.remove(POD)
    waits: list[float] = []

    def free(seconds: float) -> None:
        waits.append(seconds)
        server.change(CLAIM, {"status": None})

    client = connect(kubeconfig)
    assert examine(client, 10, free).problems == ()
    client.close()
    assert waits == [10]


def test_a_sound_cluster_is_read_once(server: FakeApiServer, kubeconfig: str) -> None:
    """What is not wrong now needs no second look."""
    fill(server)
    client = connect(kubeconfig)
    assert examine(client, 10, lambda _: pytest.fail("waited")).problems == ()
    client.close()
    assert server.verbs(paths.CLAIMS) == ["list"]


def test_as_a_plugin_of_kubectl_it_has_the_name_that_users_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """kubectl runs kubectl-hami for ``kubectl hami``."""
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-hami", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith("usage: kubectl hami ")


@pytest.mark.parametrize("program", [names.CLI_PROGRAM, names.KUBECTL_PROGRAM])
def test_the_program_is_installed_under_both_names(program: str) -> None:
    """The package brings both console scripts."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=program)
    assert script.load() is main
