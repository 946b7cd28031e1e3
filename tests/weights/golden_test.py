"""Every golden case: found, built, loaded and compared with what its reference computed.

Nothing here is TensorFlow's: with KERAS_BACKEND=jax the same tests run without it.
"""

import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint

TOLERANCE = 1e-4
HIDDEN_RELATIVE = 1e-5
_differences = {}


def _outputs(model, images):
    tokens = model.embed(images)
    outputs = {"embeddings": tokens}
    for index, block in enumerate(model.blocks):
        if index == 0:
            tokens, outputs["attention_0"] = block(tokens, return_attention=True)
        else:
            tokens = block(tokens)
        outputs[f"hidden_{index}"] = tokens
    outputs["tokens"] = model.get_layer("encoder_norm")(tokens)
    outputs["logits"] = outputs["features"] = model(images)
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def _compare(outputs, expected, names):
    differences = {}
    for name in names:
        assert outputs[name].shape == expected[name].shape, name
        difference = np.abs(outputs[name] - expected[name])
        differences[name] = float(difference.max())
        relative = HIDDEN_RELATIVE if name.startswith("hidden") else 0
        assert (difference <= TOLERANCE + relative * np.abs(expected[name])).all(), (
            f"{name}: {differences[name]:.2e}"
        )
    return differences


def test_computes_what_the_reference_computes(case):
    model = from_checkpoint(
        case.source,
        input_shape=case.input_shape,
        classifier_activation=None,
        **case.arguments,
    )
    expected = case.expected()
    compared = ["embeddings", "attention_0", case.description["output"]["array"]]
    compared += [name for name in expected if name.startswith("hidden_") or name == "tokens"]
    outputs = _outputs(model, expected["images"])
    differences = _compare(outputs, expected, compared)
    _differences[case.name] = (max(differences.values()), differences)
    if "pre_logits" in expected:
        features = keras.Model(model.input, model.features)(expected["images"])
        _compare({"pre_logits": keras.ops.convert_to_numpy(features)}, expected, ["pre_logits"])


def test_any_size_as_the_model_runs_computes_the_same(resized_case):
    case = resized_case
    model = from_checkpoint(
        case.source,
        input_shape=(None, None, 3),
        classifier_activation=None,
        **case.arguments,
    )
    assert list(model.config.image_size) == case.config["weights_image_size"]
    expected = case.expected()
    output = case.description["output"]["array"]
    outputs = {
        "embeddings": model.embed(expected["images"]),
        output: model(expected["images"]),
    }
    outputs = {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}
    _compare(outputs, expected, list(outputs))


def test_prints_the_maximal_differences(capsys):
    if not _differences:
        pytest.skip("no golden case ran")
    lines = [f"golden cases on {keras.backend.backend()}: maximal difference, and where"]
    for name, (worst, differences) in sorted(_differences.items()):
        where = max(differences, key=differences.get)
        lines.append(f"  {name:32} {worst:.1e}  {where}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert max(worst for worst, _ in _differences.values()) < 2 * TOLERANCE
