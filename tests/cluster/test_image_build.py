"""Images from Dockerfiles: what makes a build necessary."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.image_build import ImageRequest, forget_older


@pytest.fixture
def request_for_image(tmp_path: Path) -> ImageRequest:
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY app /app\n")
    (tmp_path / "app").write_text("1")
    (tmp_path / "other").write_text("1")
    return ImageRequest(tmp_path / "Dockerfile", tmp_path, "localhost/x:1", ("app",))


def test_key_changes_with_inputs_and_recipe(request_for_image: ImageRequest) -> None:
    """A file that the Dockerfile copies, the Dockerfile itself, the tag and the arguments."""
    keys = {request_for_image.key(), replace(request_for_image, tag="localhost/x:2").key()}
    keys.add(replace(request_for_image, build_args=("A=1",)).key())
    (request_for_image.context / "app").write_text("2")
    keys.add(request_for_image.key())
    request_for_image.dockerfile.write_text("FROM y\n")
    keys.add(request_for_image.key())
    assert len(keys) == 5


def test_key_ignores_the_rest_of_the_context(request_for_image: ImageRequest) -> None:
    """Else every commit would build every image."""
    before = request_for_image.key()
    (request_for_image.context / "other").write_text("2")
    assert request_for_image.key() == before


def test_newest_archives_of_a_repository_are_kept(tmp_path: Path) -> None:
    """Others' archives are left alone."""
    for age in range(6):
        path = tmp_path / f"x-driver-{age}-00000000000{age}.tar"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "x-workload-1-000000000000.tar").touch()
    forget_older(tmp_path, "x-driver")
    kept = sorted(path.name.split("-")[2] for path in tmp_path.glob("x-driver-*"))
    assert kept == ["0", "1", "2", "3"]
    assert (tmp_path / "x-workload-1-000000000000.tar").exists()


def test_archives_that_another_process_removes_are_no_error(tmp_path: Path) -> None:
    """Test processes that build images at the same time tidy up at the same time."""
    for age in range(5):
        (tmp_path / f"x-driver-{age}-00000000000{age}.tar").symlink_to("gone")
    forget_older(tmp_path, "x-driver")
    assert len(list(tmp_path.iterdir())) == 4
