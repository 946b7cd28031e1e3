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


def serve(text: str) -> None:
    """Builds the subject of a `Work`, as JSON, and answers commands until the input ends."""
    from keras_vit.benchmark.peers import LIBRARIES, OURS, SUBJECTS
    from keras_vit.benchmark.work import Work

    def answer(**values: Any) -> None:
        print(ANSWER + json.dumps(values), flush=True)

    work = Work(**json.loads(text))
    # So that the time to build is not the time to import.
    for library in LIBRARIES.get(work.subject, OURS):
        importlib.import_module(library)
    build = SUBJECTS.get(work.subject)
    if build is None:
        module, function = work.subject.split(":")
        build = getattr(importlib.import_module(module), function)
    before = peak_memory_mib()
    built: list[Any] = []
    seconds = _timed(lambda: built.append(build(work)))
    subject = built[0]
    answer(build_s=seconds, imported_mib=before)
    for line in sys.stdin:
        seconds = _timed(getattr(subject, line.strip()))
        answer(seconds=seconds, peak_mib=peak_memory_mib())
