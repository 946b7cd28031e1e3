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


@pytest.mark.slow
def test_a_worker_builds_infers_and_trains():
    worker = Worker(Work("keras_vit", "ViT_Ti16", batch_size=1))
    try:
        assert worker.read()["build_s"] > 0
        for command in ("infer", "train"):
            answer = worker.ask(command)
            assert answer["seconds"] > 0 and answer["peak_mib"] > 100
    finally:
        worker.close()


@pytest.mark.slow
def test_a_worker_that_fails_says_so():
    worker = Worker(Work("keras_vit", "ViT_None"))
    try:
        with pytest.raises(RuntimeError, match="'keras_vit' failed.*ViT_None"):
            worker.read()
    finally:
        worker.close()


@pytest.mark.slow
def test_a_measurement_has_figures_of_every_subject():
    result = measure("ViT_Ti16", batch_size=1, image_size=32, repeats=2, train=False, peers=[])
    assert [subject["subject"] for subject in result["subjects"]] == ["keras_vit"]
    assert len(result["subjects"][0]["infer_s"]) == 2
    assert result["matrix_product_gflops"] > 1
    assert result["gflop_per_image"] < 0.1  # 2.5 at its own size
