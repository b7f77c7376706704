"""The images of a test bed: the driver's, and the one that pods of the examples run."""

from dataclasses import dataclass, replace
from pathlib import Path

from cluster.image_build import ImageRequest, build_image
from cluster.settings import read_settings
from testbed.names import DRIVER_REPOSITORY, ROOT

WORKLOAD = "localhost/hami-dra/workload:dev"


@dataclass(frozen=True)
class Image:
    """An image in an archive that nodes import."""

    tag: str
    archive: Path


@dataclass(frozen=True)
class Images:
    driver: Image
    workload: Image


def built_images() -> Images:
    """Both images, built where their inputs changed. `make` has put the inputs into build/."""
    driver = _request("driver", f"{DRIVER_REPOSITORY}:dev", "build/wheels", "build/native/lib/libhami_share.so")
    # A tag by content: an upgrade of the chart then restarts the daemons exactly when they changed.
    tag = driver.key()
    driver = replace(driver, tag=f"{DRIVER_REPOSITORY}:{tag}")
    workload = _request("workload", WORKLOAD, "build/native/fake/gpu-sample")
    settings = read_settings()
    return Images(Image(tag, build_image(driver, settings)), Image("dev", build_image(workload, settings)))


def _request(name: str, tag: str, *inputs: str) -> ImageRequest:
    return ImageRequest(ROOT / "deploy" / "images" / name / "Dockerfile", ROOT, tag, inputs)
