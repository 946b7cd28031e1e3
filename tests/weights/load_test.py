import keras
import numpy as np
import pytest

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.binding import bind
from keras_vit.weights.files.keras_archive import canonical_variables
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.layouts import BoundCheckpoint
from keras_vit.weights.layouts.google import GOOGLE
from keras_vit.weights.load import LoadReport, load_weights
from keras_vit.weights.rows import Binding, Row


def _model(case, **changes):
    """A model of the case's architecture with weights of its own."""
    config = from_checkpoint(case.source, **case.arguments).config.replace(**changes)
    model = VisionTransformer(config)
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape).astype("float32"))
    return model


def _values(model):
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in canonical_variables(model).items()
    }


def _assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def _arrays(case):
    file = open_checkpoint(case.source)
    return {name: file.read(name) for name in file.specs}


@pytest.fixture
def token(golden):
    return golden("google/vit_token")


def test_two_variables_of_one_stored_array_do_not_share_its_memory(tmp_path):
    """TensorFlow and JAX take what they are given as it is."""
    np.savez(tmp_path / "a.npz", a=np.ones((2, 3), "float32"))
    bindings = [Binding(("a",), (name,), Row(("a",), (name,))) for name in "xy"]
    bound = BoundCheckpoint(open_checkpoint(tmp_path / "a.npz"), GOOGLE, "", tuple(bindings), {})
    (_, x), (_, y) = bound.arrays({"x", "y"})
    assert not np.shares_memory(x, y)


def test_reports_what_was_loaded(token):
    model = _model(token)
    report = load_weights(model, token.source)
    assert isinstance(report, LoadReport)
    assert report.layout == "google"
    assert set(report.loaded) == set(canonical_variables(model))
    assert report.resized == report.left_out == report.fresh == ()
    assert "weights loaded from" in str(report)
    stored = _arrays(token)
    values = _values(model)
    np.testing.assert_array_equal(values["head/kernel"], stored["head/kernel"])
    np.testing.assert_array_equal(
        values["encoder_block_1/attention/qkv/kernel"][:, 16:32],
        stored["Transformer/encoderblock_1/MultiHeadDotProductAttention_1/key/kernel"].reshape(
            16, 16
        ),
    )


def test_key_biases_are_loaded_although_no_output_shows_them(golden):
    for name, source in (
        ("timm/vit", "blocks.0.attn.qkv.bias"),
        ("timm/vit_qknorm", "blocks.0.attn.qkv.bias"),
    ):
        case = golden(name)
        model = _model(case)
        load_weights(model, case.source)
        qkv = _values(model)["encoder_block_0/attention/qkv/bias"]
        np.testing.assert_array_equal(qkv, _arrays(case)[source])


def test_text_towers_and_buffers_are_reported_as_left_out(golden):
    case = golden("hf/clip_full")
    report = load_weights(_model(case), case.source)
    assert "logit_scale" in report.left_out and "24 arrays left out" in str(report)


def test_positions_are_resized_to_the_grid_of_the_model(token):
    model = _model(token, image_size=(24, 32))
    report = load_weights(model, token.source)
    assert report.resized == ("patch_encoder/position_embedding",)
    assert "4x4 -> 6x8 (linear_align_corners)" in str(report)
    stored = _arrays(token)["Transformer/posembed_input/pos_embedding"]
    own = _values(model)["patch_encoder/position_embedding"]
    np.testing.assert_array_equal(own[:, :1], stored[:, :1])
    corners = own[:, 1:].reshape(6, 8, 16)[[0, 0, -1, -1], [0, -1, 0, -1]]
    expected = stored[:, 1:].reshape(4, 4, 16)[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners, expected, rtol=1e-6)


def test_as_many_positions_on_another_grid_are_taken_as_they_are(token):
    model = _model(token, image_size=(8, 32))
    report = load_weights(model, token.source)
    assert report.resized == ()


def test_a_position_of_the_class_token_moves_into_the_token(token):
    """x + (token + row) is what both compute."""
    case = token
    model = _model(case, position_embedding_prefix_rows=0)
    report = load_weights(model, case.source)
    assert "added to that token" in str(report)
    images = case.expected()["images"]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model.embed(images)), case.expected()["embeddings"], atol=1e-5
    )


def test_a_missing_position_of_the_class_token_is_zero(golden):
    case = golden("big_vision/vit_tok")
    model = _model(case, position_embedding_prefix_rows=1)
    load_weights(model, case.source)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model.embed(case.expected()["images"])),
        case.expected()["embeddings"],
        atol=1e-5,
    )


def test_a_head_of_another_class_count_is_replaced_by_zeros(token):
    model = _model(token, num_classes=3)
    report = load_weights(model, token.source)
    assert report.fresh == ("head/kernel", "head/bias")
    assert set(report.left_out) == {"head/kernel", "head/bias"}
    assert "10 classes -> 3 classes" in str(report)
    values = _values(model)
    assert not values["head/kernel"].any() and not values["head/bias"].any()
    assert "head/kernel" not in report.loaded


def test_a_head_that_fits_is_loaded_unless_a_fresh_one_is_asked_for(token):
    model = _model(token)
    load_weights(model, token.source)
    assert _values(model)["head/kernel"].any()
    report = load_weights(model, token.source, head="reset")
    assert report.fresh and not _values(model)["head/kernel"].any()


def test_a_head_to_keep_must_fit(token):
    model = _model(token, num_classes=3)
    before = _values(model)
    with pytest.raises(ValueError, match=r"head/kernel \(16, 10\).*\(16, 3\)"):
        load_weights(model, token.source, head="keep")
    _assert_same(_values(model), before)


def test_a_checkpoint_without_a_head_gives_a_fresh_one(golden):
    case = golden("timm/dinov2")
    model = _model(case, num_classes=4)
    assert load_weights(model, case.source).fresh == ("head/kernel", "head/bias")
    with pytest.raises(ValueError, match="missing: head/kernel"):
        load_weights(model, case.source, head="keep")


def test_a_model_without_the_top_leaves_the_top_out(golden):
    case = golden("google/vit_prelogits")
    model = _model(case, num_classes=0, pre_logits_size=None, pooling="none")
    report = load_weights(model, case.source)
    assert {"head/bias", "head/kernel", "pre_logits/bias", "pre_logits/kernel"} == set(
        report.left_out
    )


def test_a_layer_before_a_head_that_is_kept_cannot_be_left_out(golden):
    case = golden("hf/vit_model_pooler")
    headed = _model(case, num_classes=7, pre_logits_size=None)
    assert "pooler.dense.weight" in load_weights(headed, case.source).left_out
    case = golden("google/vit_prelogits")
    with pytest.raises(ValueError, match="unexpected: pre_logits/kernel"):
        load_weights(_model(case, pre_logits_size=None), case.source)


def test_one_error_lists_all_that_does_not_fit_and_nothing_changes(golden, tmp_path):
    case = golden("google/vit_token")
    arrays = _arrays(case)
    del arrays["cls"]
    arrays["surprise"] = np.zeros(3, "float32")
    arrays["Transformer/encoder_norm/bias"] = np.zeros(17, "float32")
    arrays["embedding/bias"] = np.zeros(16, "int64")
    np.savez(tmp_path / "bad.npz", **arrays)
    model = _model(case)
    before = _values(model)
    with pytest.raises(ValueError) as error:
        load_weights(model, tmp_path / "bad.npz")
    text = str(error.value)
    for part in (
        "bad.npz", "missing: patch_encoder/class_token (1, 1, 16)", "unexpected: surprise",
        "wrong shape: Transformer/encoder_norm/bias makes encoder_norm/beta (17,)",
        "wrong dtype: embedding/bias has int64",
    ):  # fmt: skip
        assert part in text
    _assert_same(_values(model), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["head/bias", "cls", "Transformer/encoder_norm/scale"])
def test_values_that_are_not_finite_are_refused_and_nothing_changes(token, tmp_path, name, value):
    arrays = _arrays(token)
    arrays[name].reshape(-1)[-1] = value
    np.savez(tmp_path / "nan.npz", **arrays)
    model = _model(token)
    before = _values(model)
    with pytest.raises(ValueError, match="finite numbers"):
        load_weights(model, tmp_path / "nan.npz")
    _assert_same(_values(model), before)


def test_a_damaged_array_changes_nothing(token, tmp_path):
    content = bytearray(token.source.read_bytes())
    arrays = _arrays(token)
    position = bytes(content).index(arrays["head/kernel"].tobytes()[:64])
    content[position + 5] ^= 1
    (tmp_path / "bits.npz").write_bytes(content)
    model = _model(token)
    before = _values(model)
    with pytest.raises(ValueError, match="CRC"):
        load_weights(model, tmp_path / "bits.npz")
    _assert_same(_values(model), before)


def test_a_checkpoint_of_another_family_changes_nothing(golden):
    model = _model(golden("google/vit_token"))
    before = _values(model)
    for name in ("timm/dinov2_reg4", "hf/siglip_full", "timm/hybrid_resnetv2"):
        with pytest.raises(ValueError, match="misfits"):
            load_weights(model, golden(name).source)
        _assert_same(_values(model), before)


def test_of_very_many_misfits_the_first_are_shown(token, tmp_path):
    spare = {f"elsewhere/{i}": np.zeros(1) for i in range(1000)}
    np.savez(tmp_path / "more.npz", **_arrays(token), **spare)
    with pytest.raises(ValueError, match=r"(?s)with 1000 misfits.*and 800 more") as caught:
        load_weights(_model(token), tmp_path / "more.npz")
    assert len(str(caught.value)) < 20_000


def test_the_stem_of_a_hybrid_is_made_for_other_channels(golden):
    hybrid = golden("google/hybrid_stem")
    report = load_weights(_model(hybrid, in_channels=4), hybrid.source)
    assert report.resized == ("stem/root/kernel",)
    assert "stem/root/kernel: made to fit, channels 3 -> 4" in report.notes


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_files_are_accepted(golden, tmp_path, dtype):
    import ml_dtypes
    from safetensors.numpy import save_file

    kind = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    for name in ("google/vit_token", "timm/vit"):
        case = golden(name)
        arrays = {n: a.astype(kind) for n, a in _arrays(case).items()}
        if name.startswith("google"):
            path = tmp_path / "half.npz"
            np.savez(path, **arrays)
        else:
            path = tmp_path / "half.safetensors"
            save_file(arrays, path)
        model = _model(case)
        load_weights(model, path)
        head = arrays["head/bias" if name.startswith("google") else "head.bias"]
        np.testing.assert_array_equal(_values(model)["head/bias"], head.astype("float32"))


def test_what_no_array_shows_is_compared_with_the_model(golden, token):
    model = _model(token, gelu="erf", layer_norm_epsilon=1e-5)
    with pytest.warns(UserWarning, match="made with gelu='tanh', the model has 'erf'"):
        report = load_weights(model, token.source)
    assert any("layer_norm_epsilon=1e-06, the model has 1e-05" in note for note in report.notes)
    other = _model(token, num_heads=4)
    before = _values(other)
    with pytest.raises(ValueError, match="num_heads=2 for .*num_heads=4. Nothing was changed"):
        load_weights(other, token.source)
    _assert_same(_values(other), before)
    case = golden("hf/vit_classifier")
    with pytest.warns(UserWarning, match="pooling='token', the model has 'gap'"):
        load_weights(_model(case, pooling="gap"), case.source)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"head.weight": (16, 16)}, r"head/bias \(10,\) does not go with head/kernel \(16, 16\)"),
        ({"head.weight": None}, "head/bias .* comes without what makes head/kernel"),
        ({"blocks.1.norm1.weight": None}, "encoder_block_1/attention_norm/beta .* comes without"),
        ({"blocks.1.mlp.fc1.bias": (3,)}, r"hidden/bias \(3,\) does not go with"),
    ],
)
@pytest.mark.parametrize("classes", [None, 3])
def test_a_layer_that_is_not_whole_is_refused(golden, tmp_path, changed, message, classes):
    from safetensors.numpy import save_file

    arrays = _arrays(golden("timm/vit"))
    for name, shape in changed.items():
        del arrays[name]
        if shape is not None:
            arrays[name] = np.zeros(shape, "float32")
    save_file(arrays, tmp_path / "torn.safetensors")
    with pytest.raises(ValueError, match=message):
        from_checkpoint(tmp_path / "torn.safetensors", num_heads=2, classes=classes)


def test_a_file_too_small_for_its_model_is_refused_before_that_is_built(shapes_file, timm_shapes):
    shapes = {name: (1,) * len(shape) for name, shape in timm_shapes(8, 8, 300).items()}
    shapes["patch_embed.proj.weight"] = (20000, 3, 1, 1)
    with pytest.raises(ValueError, match="300 blocks of hidden_size=20000.*Received: "):
        infer_config(bind(shapes_file(shapes)), num_heads=1)


def test_arguments_of_the_wrong_kind_are_refused(token):
    with pytest.raises(ValueError, match="`head`"):
        load_weights(_model(token), token.source, head="drop")
    with pytest.raises(ValueError, match="VisionTransformer.*Sequential"):
        load_weights(keras.Sequential(), token.source)
