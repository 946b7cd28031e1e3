"""Speed and accuracy against the number of merged tokens."""

import keras
import numpy as np
import pytest

import keras_vit
from benchmarks import merging
from keras_vit.applications.model_files import load_model
from keras_vit.benchmark.runner import Figures, Race
from keras_vit.export.exportable import Exportable
from keras_vit.models.cost import forward_flops

MACHINE = {"processor": "Abacus", "cores": 2, "backend": "tensorflow"}


def tiny(**changes):
    config = {"image_size": 16, "patch_size": 4, "hidden_size": 16, "num_layers": 2,
              "num_heads": 2, "mlp_dim": 24, "num_classes": 5} | changes  # fmt: skip
    model = keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config), name="tiny")
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def images(count):
    values = np.random.default_rng(1).normal(0, 3, size=(count, 16, 16, 3))
    return values.astype("float32")


@pytest.fixture
def raced(monkeypatch):
    """Replaces the race by one of known figures, and tells what was to be raced."""
    seen = {}

    def race(works, commands, *, repeats):
        seen.update(works=works, commands=commands, repeats=repeats)
        paths = [work.model for work in works.values() if work.model.endswith(".keras")]
        seen["merged"] = [load_model(path).config.token_merging for path in paths]
        figures = {
            name: Figures(
                name,
                infer_s=[2.0 / (index + 1)],
                infer_peak_mib=300.0,
                failure="out of patience" if name == "r=7" else None,
            )
            for index, name in enumerate(works)
        }
        return Race(figures, [50.0, 100.0, 400.0])

    monkeypatch.setattr(merging, "race", race)
    return seen


def test_the_same_weights_with_another_number():
    model = tiny(token_merging=(3, 1), dropout_rate=0.1)
    for count in (0, 4, (1, 2)):
        changed = merging.with_merging(model, count)
        assert changed.config == model.config.replace(token_merging=count)
        assert changed.preprocessing == model.preprocessing and changed.name == model.name
        for one, other in zip(changed.weights, model.weights, strict=True):
            assert one.path == other.path
            np.testing.assert_array_equal(one, other)
    again = merging.with_merging(changed, (3, 1))
    np.testing.assert_array_equal(again(images(2)), model(images(2)))
    assert model.config.token_merging == (3, 1)


def test_layers_before_the_patches_are_kept():
    inputs = keras.Input((16, 16, 3))
    scaled = keras.layers.Rescaling(0.5)(inputs)
    config = tiny().config
    model = keras_vit.VisionTransformer(config, input_tensor=scaled)
    model.set_weights(tiny().get_weights())
    changed = merging.with_merging(model, 3)
    expected = merging.with_merging(tiny(), 3)(images(2) * 0.5)
    np.testing.assert_allclose(changed(images(2)), expected, atol=1e-6)


def test_a_trained_model_is_compared_with_itself_unmerged(raced, tmp_path):
    model = tiny(token_merging=2, pooling="gap")
    for weight in (model.get_layer("encoder_norm").beta, model.get_layer("head").bias):
        weight.assign(np.zeros(weight.shape))  # so that images are told apart
    model.save(tmp_path / "model.keras")
    models = {r: merging.with_merging(model, r) for r in (0, 2, 6)}
    outputs = {r: Exportable(models[r]).outputs(images(12)) for r in models}
    best = {r: values["probabilities"].argmax(-1) for r, values in outputs.items()}
    labels = best[6]
    assert (best[0] != labels).any()
    result = merging.measure_merging(
        tmp_path / "model.keras", images=images(12), labels=labels, counts=(6, 2), batch_size=5,
        repeats=3,
    )  # fmt: skip
    assert raced["merged"] == [0, 2, 6] and raced["repeats"] == 3
    assert set(raced["commands"].values()) == {("infer",)}
    assert [row["token_merging"] for row in result["rows"]] == [0, 2, 6]
    # 17 tokens with the class token: two blocks of 2 leave 13; of 6 leave 11, then 5 of 10 go.
    assert [row["tokens"] for row in result["rows"]] == [17, 13, 6]
    assert result["matrix_product_gflops"] == 100 and result["patches"] == 16
    for row, count in zip(result["rows"], (0, 2, 6), strict=True):
        agreement = row["agreement"]
        assert agreement["accuracy"] == np.mean(best[count] == labels)
        assert agreement["top1_agreement"] == np.mean(best[count] == best[0])
        difference = outputs[count]["probabilities"] - outputs[0]["probabilities"]
        assert agreement["max_difference"] == pytest.approx(np.abs(difference).max(), abs=1e-6)
        flops = forward_flops(model.config.replace(token_merging=count))
        assert row["gflop_per_image"] == flops / 1e9


def test_a_variant_is_measured_with_random_weights(raced):
    result = merging.measure_merging("ViT_B16", batch_size=4)
    assert [work.options for work in raced["works"].values()] == [
        {"token_merging": count} for count in (0, 4, 8, 12, 16)
    ]
    assert all(work.model == "ViT_B16" for work in raced["works"].values())
    assert [row["tokens"] for row in result["rows"]] == [197, 149, 101, 53, 11]
    assert result["rows"][0]["gflop_per_image"] == pytest.approx(35.1, abs=0.1)
    assert "agreement" not in result["rows"][0] and result["images"] == 0


def test_a_count_that_fails_is_an_error(raced):
    with pytest.raises(RuntimeError, match="out of patience"):
        merging.measure_merging("ViT_Ti16", counts=(7,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": np.zeros((1, 224, 224, 3))},
        {"labels": [0]},
        {"counts": (-1,)},
        {"model": "none.keras"},
    ],
)
def test_wrong_arguments_are_refused(raced, wrong):
    with pytest.raises((ValueError, FileNotFoundError), match="Expected.*Received"):
        merging.measure_merging(**{"model": "ViT_Ti16", **wrong})
    assert not raced


def test_a_model_without_a_head_says_no_class(raced, tmp_path):
    tiny(num_classes=0).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="Expected a model with a head"):
        merging.measure_merging(tmp_path / "model.keras", images=images(1))
    assert "accuracy" not in merging.format_merging(
        merging.measure_merging(tmp_path / "model.keras", counts=(1,))
    )


def figures(**extra):
    rows = [
        {"token_merging": r, "tokens": 17 - 4 * r, "gflop_per_image": 10.0 / (r + 1),
         "infer_s": [1.0, 2.0 / (r + 1), 4.0], "peak_mib": 300.4, **extra}
        for r in (0, 3)
    ]  # fmt: skip
    return {"model": "a/model.keras", "batch_size": 4, "images": 16 if extra else 0,
            "patches": 16, "blocks": 4, "matrix_product_gflops": 100.0, "machine": MACHINE,
            "rows": rows}  # fmt: skip


def test_the_table():
    table = merging.format_merging(figures())
    assert "16 patches, 4 blocks, batch 4; Abacus, 2 cores" in table and "same" not in table
    lines = table.splitlines()[1:]
    assert len({len(line) for line in lines}) == 1
    # 4 images in a median of 2 s, then of 1 s; 10 GFLOP each, then 2.5.
    assert lines[1].split() == ["0", "17", "10", "2.00", "1.00-4.00", "1.00", "20%", "300"]
    assert lines[2].split() == ["3", "5", "2.5", "4.00", "1.00-8.00", "2.00", "10%", "300"]
    agreement = {"top1_agreement": 0.5, "accuracy": 0.25}
    table = merging.format_merging(figures(agreement=agreement))
    assert "compared on 16 images" in table and table.endswith("50.0%    25.00%")
    lines = table.splitlines()[1:]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("labelled", [True, False])
def test_the_plot(tmp_path, labelled):
    extra = {"agreement": {"top1_agreement": 0.5, "accuracy": 0.25}} if labelled else {}
    merging.plot_merging(figures(**extra), tmp_path / "plots" / "merging.png")
    files = list((tmp_path / "plots").iterdir())
    assert [file.name for file in files] == ["merging.png"]
    assert files[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and files[0].stat().st_size > 10_000


def test_a_file_is_timed_with_each_number(workers_here, tmp_path):
    tiny().save(tmp_path / "model.keras")
    result = merging.measure_merging(
        tmp_path / "model.keras", images=images(4), counts=(4,), batch_size=2, repeats=2
    )
    assert [len(row["infer_s"]) for row in result["rows"]] == [2, 2]
    assert all(row["peak_mib"] > 100 for row in result["rows"])
    assert result["rows"][0]["agreement"]["max_difference"] == 0
    assert result["rows"][1]["agreement"]["max_difference"] > 0
