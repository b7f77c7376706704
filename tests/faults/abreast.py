"""Several things that a test does at the same time, of which the first that fails ends all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event


def abreast(tasks: Sequence[Callable[[], object]], workers: int, given_up: Event) -> None:
    """Do these, begun in order, at most so many at a time; at the first that fails the others are told to give up."""
    with ThreadPoolExecutor(workers) as pool:
        begun = [pool.submit(task) for task in tasks]
        try:
            wait(begun, return_when=FIRST_EXCEPTION)
            for task in begun:
                if task.done():
                    task.result()
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
