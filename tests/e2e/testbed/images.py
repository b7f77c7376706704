"""The images of a test bed: the driver's, the one that pods of the examples run, and a busybox."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.cache import filled
from cluster.image_build import ImageRequest, archive_of, build_image
from cluster.settings import Settings, read_settings
from cluster.small_images import BUSYBOX, BUSYBOX_PROGRAM, busybox
from testbed import docker
from testbed.kubectl import run
from testbed.names import DRIVER_REPOSITORY, ROOT

WORKLOAD = "localhost/hami-dra/workload:dev"
PUBLISHED_BUSYBOX = "docker.io/library/busybox:stable-musl"


@dataclass(frozen=True)
class Image:
    """An image in an archive that nodes import."""

    tag: str
    archive: Path


@dataclass(frozen=True)
class Images:
    driver: Image
    workload: Image


def built_images(cluster: str = "local") -> Images:
    """Both images, built where their inputs changed. `make` has put the inputs into build/."""
    driver = _request("driver", f"{DRIVER_REPOSITORY}:dev", "build/wheels", "build/native/lib/libhami_share.so")
    # A tag by content: an upgrade of the chart then restarts the daemons exactly when they changed.
    tag = driver.key()
    driver = replace(driver, tag=f"{DRIVER_REPOSITORY}:{tag}")
    workload = _request("workload", WORKLOAD, "build/native/fake/gpu-sample")
    with_engine = cluster == "kind" and not _builds_without_engine()
    archives = [_archive(request, with_engine=with_engine) for request in (driver, workload)]
    return Images(Image(tag, archives[0]), Image("dev", archives[1]))


def busybox_archive() -> Path:
    """The busybox of the examples; the published one where this machine has none of its own."""
    settings = read_settings()
    if BUSYBOX_PROGRAM.exists():
        return busybox(settings)
    return filled(_folder(settings) / "busybox-published.tar", _published_busybox)


def _published_busybox(archive: Path) -> None:
    run(["docker", "pull", "--quiet", PUBLISHED_BUSYBOX], timeout=docker.PULL_SECONDS)
    run(["docker", "tag", PUBLISHED_BUSYBOX, BUSYBOX])
    docker.save(BUSYBOX, archive)


def _archive(request: ImageRequest, *, with_engine: bool) -> Path:
    settings = read_settings()
    if not with_engine:
        return build_image(request, settings)
    archive = archive_of(request, settings)
    return filled(archive, lambda made: docker.build(request.dockerfile, request.context, request.tag, made))


def _builds_without_engine() -> bool:
    """Whether this machine has what makes images without an engine: it also works where no registry is in reach."""
    return all(shutil.which(program) for program in ("buildah", "mmdebstrap"))


def _folder(settings: Settings) -> Path:
    folder = settings.cache_root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _request(name: str, tag: str, *inputs: str) -> ImageRequest:
    return ImageRequest(ROOT / "deploy" / "images" / name / "Dockerfile", ROOT, tag, inputs)
