"""The warm-up file, as TF Serving's own messages read it, and replayed."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.export.warmup import prediction_log


@pytest.fixture(scope="module")
def folder(exports):
    return exports[1]("saved_model")


def records(folder):
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    return [record.numpy() for record in tf.data.TFRecordDataset(str(file))]


def test_every_signature_has_a_request_that_runs(folder):
    messages = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api"
    )
    signatures = tf.saved_model.load(str(folder)).signatures
    seen = set()
    for record in records(folder):
        log = messages.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "model"
        seen.add(request.model_spec.signature_name)
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        assert all(value.shape[0] == 1 for value in outputs.values())
        assert outputs.get("valid", tf.constant([True])).numpy().all()
        assert (
            log.SerializeToString() == messages.PredictionLog.FromString(record).SerializeToString()
        )
        assert not log.predict_log.HasField("response")
    assert seen == {"serving_default", "embed", "classify_bytes"} == set(signatures)


def test_a_request_is_written_field_by_field():
    tensor = tf.make_tensor_proto(np.float32([2.0])).SerializeToString()
    pair = b"\x0a\x01x\x12" + bytes([len(tensor)]) + tensor
    request = b"\x0a\x06\x0a\x01m\x1a\x01s" + b"\x12" + bytes([len(pair)]) + pair
    body = b"\x0a" + bytes([len(request)]) + request
    expected = b"\x32" + bytes([len(body)]) + body
    assert prediction_log("m", "s", {"x": np.float32([2.0])}) == expected


def test_there_is_a_record_for_each_signature(folder):
    assert len(records(folder)) == 3
