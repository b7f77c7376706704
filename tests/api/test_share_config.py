"""ShareConfig: what is taken, what is refused with which words, what beats what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.api.errors import ShareConfigError
from hami_dra.api.names import SHARE_CONFIG_API_VERSION, SHARE_CONFIG_KIND
from hami_dra.api.share_config import (
    Choice,
    CoreLimit,
    DevicePlacement,
    NodePlacement,
    Placement,
    ShareConfig,
    merge_share_configs,
    parse_share_config,
)

HEAD = {"apiVersion": SHARE_CONFIG_API_VERSION, "kind": SHARE_CONFIG_KIND}


def config(**fields: object) -> ShareConfig:
    """A parsed ShareConfig with these fields."""
    return parse_share_config({**HEAD, **fields})


def test_every_field_is_read() -> None:
    """The whole of v1alpha1."""
    assert config(
        memoryPercent=50,
        coreLimit="soft",
        priority=-1,
        placement={"node": "spread", "device": "topology"},
        models={"include": ["A100", "H100"], "exclude": ["PCIe"]},
        uuids={"include": ["GPU-1"]},
        numa="single",
    ) == ShareConfig(
        memory_percent=50,
        core_limit=CoreLimit.SOFT,
        priority=-1,
        placement=Placement(node=NodePlacement.SPREAD, device=DevicePlacement.TOPOLOGY),
        models=Choice(include=("A100", "H100"), exclude=("PCIe",)),
        uuids=Choice(include=("GPU-1",)),
        numa="single",
    )


def test_nothing_said_is_nothing_wanted() -> None:
    """Every field is optional."""
    assert config() == ShareConfig()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memoryPercent": 0}, "memoryPercent: found 0, wanted a whole number from 1 to 100"),
        ({"memoryPercent": 101}, "memoryPercent: found 101, wanted a whole number from 1 to 100"),
        ({"memoryPercent": "50"}, 'memoryPercent: found "50", wanted a whole number from 1 to 100'),
        ({"memoryPercent": True}, "memoryPercent: found true, wanted a whole number from 1 to 100"),
        ({"memoryPercnt": 50}, 'memoryPercnt: unknown field, did you mean "memoryPercent"?'),
        ({"memory_percent": 50}, 'memory_percent: unknown field, did you mean "memoryPercent"?'),
        ({"coreLimit": "firm"}, "coreLimit: found \"firm\", wanted one of 'hard', 'soft' or 'none'"),
        ({"priority": 1.5}, "priority: found 1.5, wanted a whole number of at most 32 bits"),
        ({"placement": {"node": "x"}}, "placement.node: found \"x\", wanted one of 'binpack' or 'spread'"),
        ({"placement": {"gpu": "x"}}, "placement.gpu: unknown field, wanted one of device, node"),
        ({"placement": "spread"}, 'placement: found "spread", wanted an object'),
        ({"models": {"include": "A100"}}, 'models.include: found "A100", wanted a list'),
        ({"models": {"include": ["A100", ""]}}, 'models.include[1]: found "", wanted a text that is not empty'),
        ({"uuids": {"only": []}}, "uuids.only: unknown field, wanted one of exclude, include"),
        ({"numa": "both"}, "numa: found \"both\", wanted 'single'"),
        ({"kind": "Share"}, "kind: found \"Share\", wanted 'ShareConfig'"),
        ({"apiVersion": "v1"}, "apiVersion: found \"v1\", wanted 'gpu.hami.io/v1alpha1'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_field_is_named_with_what_was_found_and_wanted(fields: dict[str, object], message: str) -> None:
    """A person reads this in an Event and knows what to change."""
    with pytest.raises(ShareConfigError) as caught:
        config(**fields)
    assert str(caught.value) == f"ShareConfig: {message}"


def test_every_problem_is_told_at_once() -> None:
    """Nobody should have to try again for the second mistake."""
    with pytest.raises(ShareConfigError) as caught:
        config(memoryPercent=0, coreLimit="firm", other=1)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("parameters", [None, [], "x", 3], ids=repr)
def test_parameters_that_are_no_object_are_refused(parameters: object) -> None:
    """The API server accepts any JSON as parameters."""
    with pytest.raises(ShareConfigError, match="wanted an object"):
        parse_share_config(parameters)


def test_document_without_type_is_refused() -> None:
    """What does not say that it is a ShareConfig may be anything."""
    with pytest.raises(ShareConfigError, match=r"apiVersion: missing, wanted gpu\.hami\.io/v1alpha1; kind: missing"):
        parse_share_config({"memoryPercent": 50})


_TEXT = st.text("ab 1", max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_FIELDS = st.sampled_from(["memoryPercent", "coreLimit", "priority", "placement", "models", "uuids", "numa", "x"])


@given(st.dictionaries(_FIELDS, _JSON, max_size=4))
def test_any_json_is_taken_or_refused_with_our_error(fields: dict[str, object]) -> None:
    """Users write these: nothing they write may surprise us."""
    try:
        parse_share_config({**HEAD, **fields})
    except ShareConfigError as error:
        assert error.problems


def test_claim_beats_class_field_by_field() -> None:
    """What the claim leaves open is as the class says."""
    of_class = config(memoryPercent=50, placement={"node": "spread", "device": "spread"}, models={"include": ["A100"]})
    of_claim = config(memoryPercent=25, placement={"device": "topology"}, models={"exclude": ["PCIe"]})
    assert merge_share_configs(of_class, of_claim) == config(
        memoryPercent=25,
        placement={"node": "spread", "device": "topology"},
        models={"include": ["A100"], "exclude": ["PCIe"]},
    )


def test_merge_of_nothing_says_nothing() -> None:
    """No configuration at all is an empty one."""
    assert merge_share_configs() == ShareConfig()
