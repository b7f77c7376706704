"""Who is struck is decided by the seed."""

import pytest

from faultproxy.faults import WRITES, Answer, Dice, Fault, LostReply, Request

WRITE = Request("PUT", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/a/status", is_watch=False)
WATCH = Request("GET", "/api/v1/pods", is_watch=True)


@pytest.mark.parametrize(
    ("fault", "concerned"),
    [
        pytest.param(Fault("all", LostReply()), True, id="every request"),
        pytest.param(Fault("writes", LostReply(), methods=WRITES), True, id="its method"),
        pytest.param(Fault("reads", LostReply(), methods=frozenset({"GET"})), False, id="another method"),
        pytest.param(Fault("claims", LostReply(), path="/resourceclaims/"), True, id="its path"),
        pytest.param(Fault("leases", LostReply(), path="/leases/"), False, id="another path"),
        pytest.param(Fault("watches", LostReply(), watches=True), False, id="watches only"),
    ],
)
def test_a_fault_concerns_methods_paths_and_watches(fault: Fault, concerned: bool) -> None:
    """A fault strikes only where all that it names is so."""
    assert fault.concerns(WRITE) == concerned


def test_a_seed_strikes_the_same_requests_again() -> None:
    """The n-th request is struck or not whatever else happens, so that a failure can be had again."""

    def rolls(seed: int, *, others: bool) -> list[bool]:
        dice = Dice(seed)
        dice.set_faults([Fault("writes", LostReply(), share=0.5, methods=WRITES), Fault("cut", LostReply(), 0.5)])
        struck = []
        for _ in range(50):
            if others:
                dice.roll(Request("GET", "/api/v1/nodes", is_watch=False))
            before = dice.struck()["writes"]
            dice.roll(WRITE)
            struck.append(dice.struck()["writes"] > before)
        return struck

    assert rolls(1, others=False) == rolls(1, others=True)
    assert rolls(1, others=False) != rolls(2, others=False)
    assert 10 < sum(rolls(1, others=False)) < 40


def test_the_first_fault_that_strikes_is_the_only_one() -> None:
    """A request is struck by one fault at most."""
    dice = Dice(0)
    dice.set_faults([Fault("never", LostReply(), 0.0), Fault("first", Answer(500, "")), Fault("second", LostReply())])
    assert dice.roll(WRITE) == Answer(500, "")
    assert dice.struck() == {"first": 1}


def test_without_faults_nothing_is_struck() -> None:
    """Faults end when others are set."""
    dice = Dice(0)
    dice.set_faults([Fault("all", LostReply())])
    dice.set_faults([])
    assert dice.roll(WRITE) is None
