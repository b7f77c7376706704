"""What holds at this moment, for Prometheus: what each GPU has and has given away, and which claims wait for what.

The decision thread hands over an immutable view; a scrape, on its own thread, reads the latest one. Without a view
(this process does not lead) there are no series, so that sums over replicas count nothing twice.

The text is made here and not by prometheus_client: for 8,000 GPUs that takes over a second, in which decisions wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hami_dra.api import names
from hami_dra.controller.inventory import EMPTY, Gpu, Inventory
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

_CAPACITIES = {
    names.CAPACITY_MEMORY: ("memory", "_bytes", "Device memory"),
    names.CAPACITY_CORES: ("cores", "_percent", "Cores"),
    names.CAPACITY_SHARES: ("shares", "", "Shares"),
}


@dataclass(frozen=True)
class View:
    """One moment. ``totals`` is what is allocated, in flight included; ``pending`` counts claims by reason."""

    inventory: Inventory = EMPTY
    totals: Mapping[DeviceKey, Usage] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)


class StateGauges:
    """Writes the latest view in Prometheus' text format."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._labelled: tuple[Inventory, list[tuple[Gpu, str]]] = (EMPTY, [])

    def show(self, view: View | None) -> None:
        """From now on the series say this; None: there are none."""
        self._view = view

    def render(self) -> bytes:
        """The series as text; empty without a view."""
        view = self._view
        return "".join(self._lines(view)).encode() if view is not None else b""

    def _lines(self, view: View) -> Iterator[str]:
        pending = ((_labels(reason=reason), count) for reason, count in sorted(view.pending.items()))
        yield from _family("pending_claims", "Claims of ours that wait for a place, by the reason", pending)
        gpus = self._gpus(view.inventory)
        for name, (word, unit, title) in _CAPACITIES.items():
            totals = ((labels, _capacity(gpu, name)) for gpu, labels in gpus)
            yield from _family(f"gpu_{word}_capacity{unit}", f"{title} that the GPU has", totals)
            allocated = ((labels, _allocated(gpu, name, view.totals)) for gpu, labels in gpus)
            yield from _family(f"gpu_{word}_allocated{unit}", f"{title} allocated to claims", allocated)

    def _gpus(self, inventory: Inventory) -> list[tuple[Gpu, str]]:
        # Two scrapes at once may both make the list, which does no harm.
        known, labelled = self._labelled
        if known is not inventory:
            labelled = [(gpu, _gpu_labels(gpu)) for gpu in inventory]
            self._labelled = (inventory, labelled)
        return labelled


def _family(name: str, text: str, samples: Iterable[tuple[str, int]]) -> Iterator[str]:
    full = f"{names.METRICS_PREFIX}{name}"
    yield f"# HELP {full} {text}\n# TYPE {full} gauge\n"
    for labels, value in samples:
        yield f"{full}{labels} {value}\n"


def _gpu_labels(gpu: Gpu) -> str:
    return _labels(node=gpu.node, device=gpu.name, model=gpu.text_attribute(names.ATTRIBUTE_MODEL))


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _capacity(gpu: Gpu, name: str) -> int:
    return gpu.device.capacity[name].value if name in gpu.device.capacity else 0


def _allocated(gpu: Gpu, name: str, totals: Mapping[DeviceKey, Usage]) -> int:
    used = totals.get(gpu.key, UNUSED)
    return _capacity(gpu, name) if used.blocked else used.consumed.get(name, 0)
