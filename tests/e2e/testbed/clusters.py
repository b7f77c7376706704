"""Makes what was chosen: the backend of a test bed, and the programs that it needs."""

import shutil
from pathlib import Path

from cluster import packages
from cluster.api import Cluster
from cluster.build import built, program_folder
from cluster.programs import HELM, KIND
from cluster.settings import read_settings
from kindcluster.engine_programs import engine_programs
from kindcluster.node_image import node_image
from testbed import docker, images, kind
from testbed.backend import Backend
from testbed.choice import Choice, choose
from testbed.engines import Engine, MachineEngine, remove_engine, throw_away_engine
from testbed.kind import KindBackend
from testbed.local import LocalBackend
from testbed.settings import read_bed_settings


def chosen() -> Choice:
    """The cluster that CLUSTER asks for or that this machine can have; may pull kind's node image."""
    settings = read_bed_settings()
    return choose(settings.cluster, lambda: docker.observe(settings.node_image))


def install_packages(choice: Choice) -> None:
    """kind needs nothing of Debian where an engine answers: it runs on any such machine."""
    if choice.own_engine:
        packages.install_missing((*packages.NEEDED, *packages.NEEDED_BY_AN_ENGINE))
    elif choice.cluster == "local":
        packages.install_missing()


def build_programs(choice: Choice) -> None:
    if choice.cluster == "local":
        program_folder(read_settings())
        return
    for program in (KIND, HELM):
        built(program, read_settings())
    if choice.own_engine:
        engine_programs(read_settings())
        node_image(read_settings())


def backend(choice: Choice, name: str) -> Backend:
    """The cluster of that name; nothing is started, but programs are built where that was not done yet."""
    if choice.cluster == "local":
        return LocalBackend(Cluster(name))
    return _kind(name, _engine(choice, name), (images.busybox_archive(),))


def remove(name: str) -> None:
    """Remove the clusters of that name, whichever was chosen when they were made."""
    LocalBackend(Cluster(name)).down()
    folder = _kind_folder(name)
    if remove_engine(name, read_settings()):
        shutil.rmtree(folder, ignore_errors=True)
    elif kind.exists(folder):
        _kind(name, MachineEngine(read_bed_settings().node_image), ()).down()


def _engine(choice: Choice, name: str) -> Engine:
    if choice.own_engine:
        return throw_away_engine(name, read_settings())
    return MachineEngine(read_bed_settings().node_image)


def _kind(name: str, engine: Engine, extra: tuple[Path, ...]) -> KindBackend:
    programs = {program.name: built(program, read_settings()) / program.binaries[0] for program in (KIND, HELM)}
    return KindBackend(name, engine, _kind_folder(name), programs["kind"], programs["helm"], extra)


def _kind_folder(name: str) -> Path:
    return read_settings().cache_root / "kind" / name
