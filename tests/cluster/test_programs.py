"""Which programs there are and how they are built."""

from dataclasses import replace

import pytest

from cluster.programs import CONTAINERD, ETCD, Program, all_programs, kube


def test_every_program_of_a_cluster_is_built() -> None:
    """The folder for PATH holds all that a cluster runs and its user types."""
    names = {name for program in all_programs("1.37", "v1.37.2") for name in (*program.binaries, *program.links)}
    assert names >= {"etcd", "containerd", "containerd-shim-runc-v2", "ctr", "helm", "kubectl", "kubelet"}
    assert names >= {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}


def test_containerd_1_7_takes_the_place_of_2() -> None:
    """One of them is called containerd, and each has a place of its own in the cache."""
    old, new = (all_programs("1.37", "v1.37.2", wanted) for wanted in ("1.7", "2"))
    (one,), (other,) = ({*old} - {*new}, {*new} - {*old})
    assert one.binaries == other.binaries
    assert one.key() != other.key()


def test_kube_knows_its_version() -> None:
    """Both version variables are set, or the components refuse to talk to each other."""
    linker_flags = kube("1.37", "v1.37.2").flags[-1]
    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in linker_flags
    assert "-X k8s.io/client-go/pkg/version.gitVersion=v1.37.2" in linker_flags


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(ETCD, tags="x"), id="tags"),
        pytest.param(replace(ETCD, package="."), id="package"),
        pytest.param(replace(ETCD, needs_c=True), id="C"),
        pytest.param(replace(ETCD, module=CONTAINERD.module), id="go.sum"),
    ],
)
def test_key_changes_with_every_input(other: Program) -> None:
    """A change of sources or flags is a new entry in the cache."""
    assert other.key() != ETCD.key()
    assert replace(ETCD, usually="another text").key() == ETCD.key()
