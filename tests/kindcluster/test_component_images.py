"""The images that a node of our own has before anything is pulled."""

import io
import tarfile

import pytest

from cluster.archive import archive_of_all
from kindcluster.component_images import POD_NETWORK, Parts, by_component, component_images, libraries

LISTED = [
    "registry.example/kube-apiserver:v1.37.2",
    "registry.example/kube-controller-manager:v1.37.2",
    "registry.example/kube-scheduler:v1.37.2",
    "registry.example/kube-proxy:v1.37.2",
    "registry.example/coredns/coredns:v1.14.6",
    "registry.example/pause:3.10",
    "registry.example/etcd:3.7.3-0",
]
PARTS = Parts(
    kube=b"kube" * 100_000,
    etcd=b"etcd",
    coredns=b"dns",
    pause=b"pause",
    busybox={"bin/busybox": b"busybox"},
    netfilter={"usr/sbin/xtables-nft-multi": b"xtables"},
    pod_network=b"#!/bin/sh",
)


def test_every_image_has_the_name_that_kubeadm_asks_for() -> None:
    """No name and no tag is written down by us, but for our own."""
    images = component_images(by_component(LISTED), PARTS)
    assert {image.reference for image in images} == {*LISTED, POD_NETWORK}


def test_a_component_that_kubeadm_does_not_name_is_an_error() -> None:
    """A node would wait for an image that nobody has."""
    with pytest.raises(KeyError, match="etcd"):
        component_images(by_component(LISTED[:-1]), PARTS)


def test_the_largest_layer_is_in_the_archive_once() -> None:
    """Five images run the same program."""
    archive = archive_of_all(component_images(by_component(LISTED), PARTS))
    assert archive.count(PARTS.kube) == 1
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


def test_libraries_are_paths_and_nothing_else() -> None:
    """Of several programs in one output, with the loader and without the addresses."""
    ldd = """/usr/sbin/nft:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0a)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f0b)
/usr/sbin/conntrack:
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f0c)
"""
    assert libraries(ldd) == {
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    }
