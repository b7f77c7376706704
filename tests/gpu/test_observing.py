"""What is made of ledger and NVML side by side."""

from gpucheck.observing import Overshoot, Sample, overshoot_of

LIMIT = 1000


def test_worst_of_each_is_kept() -> None:
    """Beyond the ledger and beyond the limit need not be the same moment."""
    samples = [Sample(500, 700), Sample(990, 1010), Sample(100, None)]
    assert overshoot_of(samples, LIMIT) == Overshoot(charged=990, held=1010, beyond_ledger=200, beyond_limit=10)


def test_processes_that_nvml_does_not_list_say_nothing() -> None:
    """Neither good nor bad."""
    assert overshoot_of([Sample(500, None)], LIMIT) == Overshoot(500, None, None, None)
