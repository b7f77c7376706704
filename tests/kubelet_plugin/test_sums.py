"""Nothing on this node is given away twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import MIB, device, entry, share, share_id

from hami_dra.api.names import ClaimUid, DeviceName
from hami_dra.kubelet_plugin.entries import ClaimRef
from hami_dra.kubelet_plugin.sums import Booking, Capacity, bookings_of, find_overload

DEVICES = [DeviceName(device(0)), DeviceName(device(1))]
bookings = st.builds(
    Booking,
    device=st.sampled_from(DEVICES),
    share_id=st.just(share_id(1)),
    memory_bytes=st.integers(1, 100),
    core_percent=st.integers(0, 60),
    claim=st.just(ClaimRef("default", "other", ClaimUid("other"))),
)
capacity = st.builds(Capacity, st.integers(0, 200), st.just(100), st.integers(0, 5))
capacities = st.fixed_dictionaries(dict.fromkeys(DEVICES, capacity))


@given(capacities, st.lists(bookings, max_size=6), st.lists(bookings, min_size=1, max_size=3))
def test_accepts_exactly_what_fits(
    capacity: dict[DeviceName, Capacity], booked: list[Booking], wanted: list[Booking]
) -> None:
    """Memory, cores and shares of every GPU that is asked of stay within what it has."""
    fits = True
    for name in {booking.device for booking in wanted}:
        asked = [b for b in wanted if b.device == name]
        held = [b for b in booked if b.device == name]
        sums = (
            (capacity[name].memory_bytes, [b.memory_bytes for b in held], [b.memory_bytes for b in asked]),
            (capacity[name].core_percent, [b.core_percent for b in held], [b.core_percent for b in asked]),
            (capacity[name].shares, [1 for _ in held], [1 for _ in asked]),
        )
        fits = fits and all(not sum(a) or sum(h) + sum(a) <= total for total, h, a in sums)
    assert (find_overload(capacity, booked, wanted) is None) == fits


def test_the_refusal_names_who_holds_the_gpu() -> None:
    """An operator reads which claim to look at."""
    capacity = {DEVICES[0]: Capacity(8000 * MIB, 100, 10)}
    overload = find_overload(capacity, bookings_of(entry("greedy", share(memory_mib=6000))), bookings_of(entry("new")))
    assert str(overload) == (
        f"GPU {device(0)} has 2000 MiB of memory left, the claim was given 3000: "
        "claim default/greedy holds 6000 MiB and 30 % of the cores"
    )


def test_a_claim_without_cores_passes_where_cores_are_booked_out() -> None:
    """No core limit books nothing."""
    capacity = {DEVICES[0]: Capacity(8000 * MIB, 100, 10)}
    booked = bookings_of(entry("a", share(cores=100)))
    assert find_overload(capacity, booked, bookings_of(entry("b", share(cores=0)))) is None
