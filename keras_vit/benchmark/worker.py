"""A process that builds one subject and times it on request.

It reads a command a line (`infer`, `train`) and answers with a line of JSON that begins with
`ANSWER`; everything else that libraries print is not for the reader.
"""

import importlib
import json
import resource
import sys
import time
from typing import Any

ANSWER = "@keras_vit "


def peak_memory_mib() -> float:
    """Returns the most memory that this process has held, in MiB."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            high_water = next(line for line in file if line.startswith("VmHWM"))
        return int(high_water.split()[1]) / 1024
    except (OSError, StopIteration):  # `ru_maxrss` counts what the parent held before the start
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _timed(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def build(work: Any) -> tuple[Any, dict[str, float]]:
    """Builds the subject of a `Work`; returns it and what it took."""
    from keras_vit.benchmark.peers import LIBRARIES, OURS, SUBJECTS

    # So that the time to build is not the time to import.
    for library in LIBRARIES.get(work.subject, OURS):
        importlib.import_module(library)
    make = SUBJECTS.get(work.subject)
    if make is None:
        module, function = work.subject.split(":")
        make = getattr(importlib.import_module(module), function)
    before = peak_memory_mib()
    built: list[Any] = []
    seconds = _timed(lambda: built.append(make(work)))
    return built[0], {"build_s": seconds, "imported_mib": before}


def measure(subject: Any, command: str) -> dict[str, float]:
    """Runs one command of a subject; returns what it took."""
    seconds = _timed(getattr(subject, command))
    return {"seconds": seconds, "peak_mib": peak_memory_mib()}


def serve(text: str) -> None:
    """Builds the subject of a `Work`, as JSON, and answers commands until the input ends."""
    from keras_vit.benchmark.work import Work

    def answer(values: dict[str, float]) -> None:
        print(ANSWER + json.dumps(values), flush=True)

    subject, took = build(Work(**json.loads(text)))
    answer(took)
    for line in sys.stdin:
        answer(measure(subject, line.strip()))
