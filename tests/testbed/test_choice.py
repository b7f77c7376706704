"""kind or the local cluster."""

import pytest

from testbed.choice import Observed, choose
from testbed.errors import SettingError
from testbed.settings import NODE_IMAGES, read_bed_settings

BOTH = Observed(engine="", image="")
NO_ENGINE = Observed(engine="no Docker engine answers: refused")
NO_IMAGE = Observed(engine="", image="kindest/node is not here and cannot be pulled: no such host")


@pytest.mark.parametrize(
    ("wanted", "observed", "cluster", "why"),
    [
        pytest.param("auto", BOTH, "kind", "a Docker engine answers", id="auto, both there"),
        pytest.param("auto", NO_ENGINE, "local", "no Docker engine answers: refused", id="auto, no engine"),
        pytest.param("auto", NO_IMAGE, "local", "cannot be pulled: no such host", id="auto, no image"),
        pytest.param("kind", BOTH, "kind", "CLUSTER=kind", id="kind wanted"),
        pytest.param("local", BOTH, "local", "CLUSTER=local", id="local wanted although kind could run"),
    ],
)
def test_kind_is_taken_where_it_can_run(wanted: str, observed: Observed, cluster: str, why: str) -> None:
    """The choice and its reason make one line."""
    choice = choose(wanted, lambda: observed)
    assert choice.cluster == cluster
    assert why in choice.why
    assert "\n" not in str(choice)


@pytest.mark.parametrize("observed", [NO_ENGINE, NO_IMAGE], ids=["no engine", "no image"])
def test_kind_without_what_it_needs_gets_it_from_us(observed: Observed) -> None:
    """Only where the user asks for kind, and the reason is said."""
    choice = choose("kind", lambda: observed)
    assert (choice.cluster, choice.own_engine) == ("kind", True)
    assert observed.against_kind in str(choice)
    assert not choose("auto", lambda: observed).own_engine
    assert not choose("kind", lambda: BOTH).own_engine


def test_nobody_looks_for_an_engine_when_local_is_wanted() -> None:
    """A look may pull an image of half a gigabyte."""

    def look() -> Observed:
        raise AssertionError("looked")

    assert choose("local", look).cluster == "local"


def test_defaults_are_a_choice_and_the_image_of_the_kubernetes_version() -> None:
    """KIND_NODE_IMAGE wins; for a version without a known image there is none."""
    assert read_bed_settings({}).cluster == "auto"
    assert read_bed_settings({}).node_image == NODE_IMAGES["1.37"]
    assert read_bed_settings({"KUBE_VERSION": "1.36"}).node_image == ""
    assert read_bed_settings({"KUBE_VERSION": "1.36", "KIND_NODE_IMAGE": "x"}).node_image == "x"


def test_unknown_cluster_is_refused_with_the_known_ones() -> None:
    """The message names what was found and what was wanted."""
    with pytest.raises(SettingError, match="CLUSTER=kidn: wanted one of auto, kind, local"):
        read_bed_settings({"CLUSTER": "kidn"})
