"""The RBAC of the rendered chart, against the table of docs/permissions.md that says what each permission is for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.build import built
from cluster.programs import HELM
from cluster.settings import read_settings
from testbed.chart import render_template
from testbed.kubectl import Kubectl
from testbed.names import ROOT
from testbed.reading import Json

DAEMONS = {"plugin": "kubelet-plugin", "controller": "controller"}
ON_SOME_NODES = {"kubeletPlugin.nodes[0].name": "a100-*", "kubeletPlugin.nodes[0].onBypass": "evict"}
CONDITIONS: dict[str, list[dict[str, str]]] = {
    "allocator=controller": [{"allocator": "controller"}],
    "onBypass=evict": [{"kubeletPlugin.onBypass": "evict"}, ON_SOME_NODES],
    "gateAndPin=true": [{"controller.gateAndPin": "true"}],
}
VALUES = [
    {"allocator": "scheduler"},
    {"allocator": "controller"},
    {"allocator": "scheduler", "kubeletPlugin.onBypass": "evict"},
    {"allocator": "scheduler", **ON_SOME_NODES},
    {"allocator": "controller", "controller.gateAndPin": "true"},
]


@dataclass(frozen=True)
class Permission:
    """One verb on one resource; `name` is empty for all of them."""

    who: str
    where: str
    resource: str
    name: str
    verb: str


def documented(values: dict[str, str]) -> list[Permission]:
    """What the table says that the chart gives with these values; each row has its reason."""
    found = []
    for line in (ROOT / "docs/permissions.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] not in DAEMONS or len(cells) != 6:
            continue
        who, where, what, verbs, when, why = cells
        assert why
        resource, *name = re.findall(r"`([^`]+)`", what)
        if when == "always" or any(one.items() <= values.items() for one in CONDITIONS[when]):
            found += [Permission(who, where, resource, "".join(name), verb) for verb in verbs.split(", ")]
    return found


def given(role: Json, who: str) -> Iterator[Permission]:
    """What a Role or ClusterRole gives."""
    where = "cluster" if role["kind"] == "ClusterRole" else "namespace"
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                whole = f"{group}/{resource}" if group else resource
                for name in rule.get("resourceNames", [""]):
                    yield from (Permission(who, where, whole, name, verb) for verb in rule["verbs"])


def rendered(values: dict[str, str]) -> list[Permission]:
    """What the chart gives; every role is bound to the daemon's service account and to nobody else."""
    kubectl = Kubectl(built(HELM, read_settings()), Path("/dev/null"))
    found = []
    for who, part in DAEMONS.items():
        for document in yaml.safe_load_all(render_template(kubectl, f"{part}-rbac.yaml", values)):
            if document["kind"] in ("ClusterRole", "Role"):
                found += given(document, who)
            else:
                assert document["roleRef"]["name"] == f"hami-dra-{part}"
                account = {"kind": "ServiceAccount", "name": f"hami-dra-{part}", "namespace": "hami-dra"}
                assert document["subjects"] == [account]
    return found


@pytest.mark.parametrize("values", VALUES, ids=lambda values: ",".join(values.values()))
def test_the_chart_gives_what_the_docs_give_a_reason_for(values: dict[str, str]) -> None:
    """No verb more and none less, with every setting that changes them."""
    found, told = rendered(values), documented(values)
    assert len(set(told)) == len(told)
    assert set(found) == set(told)
    assert not any("*" in (p.resource, p.verb) or "secrets" in p.resource for p in found)
