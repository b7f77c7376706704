"""Images from Dockerfiles: what makes a build necessary."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.image_build import ImageRequest


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
