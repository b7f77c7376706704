"""CEL selectors: Kubernetes' semantics, functions and errors."""

from __future__ import annotations

import threading

import pytest
from controller_objects import gpu, make_slice

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import build_inventory

MATCHES = CelMatcher()
EXTRA = {
    "example.com/rack": {"string": "r1"},
    "gpu.hami.io/qualified": {"bool": True},
    "label": {"string": "aXb"},
}
(GPU,) = build_inventory([make_slice("node-a", [gpu(0, attributes=EXTRA)])])
OURS = 'device.attributes["gpu.hami.io"]'


@pytest.mark.parametrize(
    "expression",
    [
        'device.driver == "gpu.hami.io"',
        "device.allowMultipleAllocations",
        f'{OURS}.model == "NVIDIA H100 80GB HBM3"',
        f"{OURS}.qualified",
        'device.attributes["example.com"].rack == "r1"',
        'device.attributes["resource.kubernetes.io"].numaNode == 0',
        '!("x" in device.attributes["nobody.example"])',
        '!("nobody.example" in device.attributes)',
        '"gpu.hami.io" in device.attributes',
        f"has({OURS}.model) && !has({OURS}.nothing)",
        '!has(device.attributes["nobody.example"].x)',
        'device.capacity["gpu.hami.io"].memory.compareTo(quantity("80Gi")) < 0',
        'device.capacity["gpu.hami.io"].memory.isGreaterThan(quantity("40Gi"))',
        'device.capacity["gpu.hami.io"].memory == quantity("81559Mi")',
        'device.capacity["gpu.hami.io"].cores.asInteger() == 100',
        'quantity("1.5Gi").sub(quantity("0.5Gi")).compareTo(quantity("1Gi")) == 0',
        'quantity("500").add(quantity("500m")) == quantity("500.5") && isQuantity("1e3") && !isQuantity("x")',
        'quantity("-1").sign() == -1 && quantity("0.1").asApproximateFloat() < 0.2',
        f'{OURS}.driverVersion.compareTo(semver("580.65.6")) == 0',
        f"{OURS}.driverVersion.major() == 580 && {OURS}.driverVersion.minor() == 65",
        'semver("1.0.0-alpha.2").isLessThan(semver("1.0.0-alpha.10")) && semver("v1.2", true).patch() == 0',
        'isSemver("1.2.3") && !isSemver("1.2") && isSemver("1.2", true)',
        f'{OURS}.label.lowerAscii() == "axb" && {OURS}.label.split("X")[1] == "b"',
        f'{OURS}.label.replace("X", "-").indexOf("-") == 1 && {OURS}.label.substring(1, 2) == "X"',
        f'{OURS}.model.matches("^NVIDIA H\\\\d+")',
        f"{OURS}.minor in [0, 1] && [1, 2].exists(x, x == 2)",
        f'true || {OURS}.nothing == "x"',
    ],
)
def test_an_expression_is_true_of_the_gpu(expression: str) -> None:
    """What Kubernetes' evaluator calls true is true here."""
    assert MATCHES(expression, GPU)


def test_an_error_names_the_gpu_that_was_asked() -> None:
    """Though GPUs that the expression cannot tell apart share one evaluation."""
    for one in build_inventory([make_slice("node-a", [gpu(1), gpu(2)])]):
        with pytest.raises(SelectorError, match=f"failed on device {one.name}: no such key: absent"):
            MATCHES(f"{OURS}.absent == 1", one)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (f'{OURS}.nothing == "x"', "failed on device .*: no such key: nothing"),
        ('device.attributes["nobody.example"].x == 1', "no such key: x"),
        ('quantity("lots").sign() == 1', "'lots' is not a quantity"),
        (f"{OURS}.model.compareTo(quantity('1')) == 0", "no such overload: compareTo.string, kubernetes.Quantity"),
        ("1 +", "does not compile: syntax error at line 1"),
        ("[" * 4000 + "]" * 4000 + " == []", "nests deeper than 120 levels"),
        ("nosuch(device)", "unknown function 'nosuch'"),
        ("device.driver.nosuch()", "unknown function 'nosuch'"),
        ('device.name == "x"', "unknown field 'device.name'"),
        ("device.driver", "gives a string, wanted true or false"),
        (f'"{"x" * 11_000}" == ""', "at most 10240 are allowed"),
        ("__class__ == 1", "undeclared reference"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_an_error(expression: str, message: str) -> None:
    """An error is not "false", and its message is short enough to read."""
    with pytest.raises(SelectorError, match=message) as caught:
        MATCHES(expression, GPU)
    assert len(str(caught.value)) < 400


def test_errors_and_results_are_remembered_and_shared_by_threads() -> None:
    """Eight threads that evaluate at once all get the right answers."""
    wrong: list[bool] = []

    def evaluate() -> None:
        wrong.extend(MATCHES(f"{OURS}.minor == {minor}", GPU) != (minor == 0) for minor in range(20))

    threads = [threading.Thread(target=evaluate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [False] * 160


@pytest.mark.parametrize("first", [0, 19])
def test_whether_an_expression_has_a_value_does_not_depend_on_the_order_of_gpus(first: int) -> None:
    """Each evaluation has steps of its own, as in Kubernetes: one that fails leaves enough to the others."""
    expression = f"lists.range({OURS}.minor == {first} ? 300000 : 10).all(x, x + x >= 0)"
    gpus = list(build_inventory([make_slice("node-a", [gpu(number) for number in range(20)])]))
    failed = []
    for one in gpus:
        try:
            assert MATCHES(expression, one)
        except SelectorError as error:
            assert "costs more than 1000000 steps" in str(error)
            failed.append(one)
    assert failed == [gpus[first]]
