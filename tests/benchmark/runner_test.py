"""Subjects in processes of their own."""

import pytest

from keras_vit.benchmark import measure
from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["cores"] >= 1 and machine["processor"]
    assert "keras" in machine["versions"]


def test_a_worker_that_fails_says_so():
    worker = Worker(Work("keras_vit"), module="no_such_module")
    try:
        with pytest.raises(RuntimeError, match="'keras_vit' failed.*no_such_module"):
            worker.read()
    finally:
        worker.close()


@pytest.mark.slow
def test_a_measurement_has_figures_of_every_subject():
    """A worker builds, infers and trains; the matrix product takes turns with it."""
    result = measure("ViT_Ti16", batch_size=1, image_size=32, repeats=2, peers=[])
    (figures,) = result["subjects"]
    assert figures["subject"] == "keras_vit" and figures["failure"] is None
    assert figures["build_s"] > 0 and figures["first_call_s"] > 0
    for command in ("infer", "train"):
        assert len(figures[f"{command}_s"]) == 2 and min(figures[f"{command}_s"]) > 0
        assert figures[f"{command}_peak_mib"] > 100
    assert result["matrix_product_gflops"] > 1
    assert result["gflop_per_image"] < 0.1  # 2.5 at its own size
