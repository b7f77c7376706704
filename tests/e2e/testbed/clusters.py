"""Makes what was chosen: the backend of a test bed, and the programs that it needs."""

from pathlib import Path

from cluster import packages
from cluster.api import Cluster
from cluster.build import built, program_folder
from cluster.programs import HELM, KIND
from cluster.settings import read_settings
from testbed import docker, images, kind
from testbed.backend import Backend
from testbed.choice import Choice, choose
from testbed.kind import KindBackend
from testbed.local import LocalBackend
from testbed.settings import BedSettings, read_bed_settings


def chosen() -> Choice:
    """The cluster that CLUSTER asks for or that this machine can have; may pull kind's node image."""
    settings = read_bed_settings()
    return choose(settings.cluster, lambda: docker.observe(settings.node_image))


def install_packages(choice: Choice) -> None:
    """kind needs nothing of Debian: it runs on any machine with an engine."""
    if choice.cluster == "local":
        packages.install_missing()


def build_programs(choice: Choice) -> None:
    if choice.cluster == "local":
        program_folder(read_settings())
    else:
        for program in (KIND, HELM):
            built(program, read_settings())


def backend(choice: Choice, name: str) -> Backend:
    """The cluster of that name; nothing is started, but programs are built where that was not done yet."""
    if choice.cluster == "local":
        return LocalBackend(Cluster(name))
    extra = (images.busybox_archive(),)
    return _kind(name, read_bed_settings(), extra)


def remove(name: str) -> None:
    """Remove the clusters of that name, whichever was chosen when they were made."""
    LocalBackend(Cluster(name)).down()
    if kind.exists(_kind_folder(name)):
        _kind(name, read_bed_settings(), ()).down()


def _kind(name: str, settings: BedSettings, extra: tuple[Path, ...]) -> KindBackend:
    host = read_settings()
    programs = {program.name: built(program, host) / program.binaries[0] for program in (KIND, HELM)}
    return KindBackend(name, settings.node_image, _kind_folder(name), programs["kind"], programs["helm"], extra)


def _kind_folder(name: str) -> Path:
    return read_settings().cache_root / "kind" / name
