"""What NVML sees beyond the ledgers, and whose it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import MIB, share, share_id, uuid

from hami_dra.kubelet_plugin.accounting import beyond, settle
from hami_dra.kubelet_plugin.samples import Container, GpuSample

ONE, TWO = share(share=1), share(share=2)


def sample(processes: dict[int, int], busy: dict[int, float] | None = None) -> dict[str, GpuSample]:
    """GPU 0 with these processes."""
    return {uuid(0): GpuSample(uuid(0), memory_total_bytes=80_000 * MIB, processes=processes, busy=busy)}


def container(name: str, *shares: int) -> Container:
    """A container with these shares."""
    return Container(f"/pods/{name}", f"uid-{name}", name, 4026530000, frozenset(share_id(s) for s in shares))


def test_a_process_counts_for_the_share_of_its_container() -> None:
    """Its cgroup says which container that is."""
    where = {10: container("a", 1), 11: container("a", 1), 20: container("b", 2)}
    found = settle(sample({10: 100 * MIB, 11: 50 * MIB, 20: 7 * MIB}), [ONE, TWO], {}, where.get)
    one, two = found.shares[share_id(1)], found.shares[share_id(2)]
    assert (one.device_bytes, one.pids) == (150 * MIB, (10, 11))
    assert (two.device_bytes, two.pids) == (7 * MIB, (20,))
    assert [c.name for c in one.containers] == ["a"]
    assert found.gpus[uuid(0)].strangers == ()


def test_a_process_without_a_share_of_the_gpu_is_a_stranger() -> None:
    """On the host, or in a container whose share is of another GPU."""
    where = {10: container("other", 9), 11: None, 12: Container("/system.slice/x")}
    found = settle(sample({10: MIB, 11: 2 * MIB, 12: 4 * MIB}), [ONE], {}, where.get)
    assert [s.pid for s in found.gpus[uuid(0)].strangers] == [10, 11, 12]
    assert found.gpus[uuid(0)].stranger_bytes == 7 * MIB
    assert found.shares[share_id(1)].device_bytes == 0


def test_two_shares_of_one_container_are_explained_together() -> None:
    """An allocation may be split among them; only what neither ledger knows is beyond."""
    where = {10: container("a", 1, 2)}
    charged = {share_id(1): 300 * MIB, share_id(2): 700 * MIB}
    found = settle(sample({10: 1000 * MIB}), [ONE, TWO], charged, where.get)
    assert {key: account.beyond_bytes for key, account in found.shares.items()} == {share_id(1): 0, share_id(2): 0}
    found = settle(sample({10: 1500 * MIB}), [ONE, TWO], charged, where.get)
    assert sum(account.beyond_bytes for account in found.shares.values()) == 500 * MIB


def test_a_driver_that_lists_no_processes_accuses_nobody() -> None:
    """Some virtual GPUs do not say."""
    silent = {uuid(0): GpuSample(uuid(0), processes=None)}
    found = settle(silent, [ONE], {share_id(1): 5}, {}.get)
    assert found.shares[share_id(1)].beyond_bytes == 0
    assert found.shares[share_id(1)].busy_percent is None


def test_busy_percents_add_up_over_the_processes() -> None:
    """Those of other shares do not count; no samples at all is no answer."""
    where = {10: container("a", 1), 11: container("a", 1), 20: container("b", 2)}
    seen = sample({10: 1, 11: 1, 20: 1}, {10: 20.0, 11: 5.0, 20: 60.0})
    assert settle(seen, [ONE, TWO], {}, where.get).shares[share_id(1)].busy_percent == 25.0
    assert settle(sample({10: 1}, {}), [ONE], {}, where.get).shares[share_id(1)].busy_percent is None


def test_rounding_is_not_beyond() -> None:
    """The driver hands out chunks of 2 MiB; programs ask for less."""
    assert beyond(1000 * MIB, 990 * MIB) == 0
    assert beyond(30 * MIB, 0) == 0
    assert beyond(3000 * MIB, 1000 * MIB) == 2000 * MIB


@given(
    st.dictionaries(st.integers(1, 50), st.integers(0, 2**40), max_size=8),
    st.lists(st.integers(0, 3), min_size=51, max_size=51),
    st.lists(st.integers(0, 2**40), min_size=2, max_size=2),
)
def test_every_byte_is_somebodys(processes: dict[int, int], places: list[int], ledgers: list[int]) -> None:
    """Shares and strangers together have exactly what NVML sees."""
    kinds = [None, container("a", 1), container("b", 2), container("ab", 1, 2)]
    charged = {share_id(1): ledgers[0], share_id(2): ledgers[1]}
    found = settle(sample(processes), [ONE, TWO], charged, lambda pid: kinds[places[pid]])
    shared = sum(account.device_bytes for account in found.shares.values())
    assert shared + found.gpus[uuid(0)].stranger_bytes == sum(processes.values())
