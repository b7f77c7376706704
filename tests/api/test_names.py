"""Names are those of the C side, and what is derived from them is accepted where it goes."""

import re
from pathlib import Path

import pytest

from hami_dra.api import names

HEADER = Path(__file__).parents[2] / "cuda-intercept/include/share_env.h"
TEXTS = dict(re.findall(r'^#define HAMI_(\w+) "([^"]*)"', HEADER.read_text(), re.MULTILINE))


def test_header_has_texts_to_compare() -> None:
    """The pattern still fits the header."""
    assert len(TEXTS) >= 10


@pytest.mark.parametrize(("name", "text"), sorted(TEXTS.items()), ids=sorted(TEXTS))
def test_text_is_that_of_the_header(name: str, text: str) -> None:
    """Every string of share_env.h is spelled the same here."""
    assert getattr(names, name) == text


def test_device_name_is_a_dns_label() -> None:
    """The API server accepts lower-case labels of at most 63 characters only."""
    name = names.device_name("GPU-1F2E3D4C-0000-4000-8000-00000000000A")
    assert name == "gpu-1f2e3d4c-0000-4000-8000-00000000000a"
    assert len(name) <= 63


def test_share_variable_survives_dash() -> None:
    """Shells drop variables whose names have a hyphen."""
    name = names.share_env_name("0e2f3c1a-0000-4000-8000-000000000001")
    assert name == "HAMI_SHARE_0E2F3C1A_0000_4000_8000_000000000001"


def test_cdi_devices_are_qualified() -> None:
    """kind=name, the base device in NVML's case."""
    assert names.cdi_share_device("0e2f") == "k8s.gpu.hami.io/share=0e2f"
    assert names.cdi_base_device("GPU-1f2e") == "k8s.gpu.hami.io/base=GPU-1f2e"


def test_name_without_domain_belongs_to_the_driver() -> None:
    """As in CEL and in capacity requests."""
    assert names.qualified_name("memory") == "gpu.hami.io/memory"
    assert names.qualified_name(names.ATTRIBUTE_NUMA_NODE) == "resource.kubernetes.io/numaNode"
