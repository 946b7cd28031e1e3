"""Subjects that are built where the tests run, which have TensorFlow already."""

import keras
import pytest

from keras_vit.benchmark import runner, subjects, worker


class WorkerHere:
    """Does in this process what `Worker` has a process of its own for, as `runner_test.py` sees."""

    def __init__(self, work):
        self.work = work

    def read(self):
        self.subject, took = worker.build(self.work)
        return took

    def ask(self, command):
        return worker.measure(self.subject, command)

    def close(self):
        self.subject = None


@pytest.fixture
def workers_here(monkeypatch):
    """Lets a study build its subjects here; the product of matrices is a small one."""
    from benchmarks import export_forms

    policy = keras.config.dtype_policy()
    for module in (runner, export_forms):
        monkeypatch.setattr(module, "Worker", WorkerHere)
    monkeypatch.setattr(subjects, "MATRIX_PRODUCT", (32, 32, 32))
    yield
    keras.config.set_dtype_policy(policy)
