"""The loop of a worker and its memory."""

import subprocess
import sys

import numpy as np

from keras_vit.benchmark import worker

PROGRAM = """
import runpy, sys
peak_memory_mib = runpy.run_path(sys.argv[1])["peak_memory_mib"]
before = peak_memory_mib()
held = bytearray(b"1" * 2**28)
print(before, peak_memory_mib())
"""


def test_peak_memory_is_that_of_the_process_alone():
    held = np.ones(2**29, "uint8")  # what a parent holds does not count
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, worker.__file__], capture_output=True, text=True
    )
    before, after = map(float, result.stdout.split())
    assert 1 < before < 300
    assert after - before > 200
    assert held[0] == 1
