"""Several labels, one label and values are learned, kept and told by whatever opens the model."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import keras_vit
from keras_vit.data.dataset import ImageDataset
from keras_vit.evaluation import evaluate
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import Recipe, build_model, models, train
from keras_vit.training.objectives import Classification, Labels, Regression
from keras_vit.training.objectives.class_weights import (
    WeightedLoss,
    balanced_label_weights,
    balanced_weights,
)
from keras_vit.training.objectives.several_labels import LabelsLoss
from keras_vit.training.task import Task

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16)  # fmt: skip
RECIPE = Recipe(epochs=16, batch_size=16, learning_rate=0.02, warmup=0.1)


@pytest.fixture(autouse=True, scope="module")
def _tiny_digits():
    """`build_model("digits", ...)` makes a tiny model here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.SMALL_MODELS, "digits", TINY)
        yield


def dataset(image_sets, task, names, label):
    """Images whose upper and lower half are bright or not, and what is told of each pair."""

    def split(count, seed):
        draw = np.random.default_rng(seed)
        bright = np.arange(count)[:, None] // [1, 2] % 2 == 1
        images = draw.integers(0, 60, (count, 8, 8)) + 180 * np.repeat(bright, 4, 1)[:, :, None]
        labels = [label(*pair) for pair in bright.tolist()]
        return image_sets.split_in_memory(images.astype("uint8"), np.array(labels, "float32"))

    return ImageDataset("halves", names, train=split(32, 0), test=split(16, 1), task=task)


LEARNED = {
    "labels": (("up", "low"), lambda up, low: [up, low]),
    "binary": (("both",), lambda up, low: [up and low]),
    "regression": (("weight",), lambda up, low: [900 + 40 * up + 20 * low]),
}


@pytest.fixture(scope="module", params=list(LEARNED))
def run(request, image_sets, tmp_path_factory):
    data = dataset(image_sets, request.param, *LEARNED[request.param])
    recipe = RECIPE
    model = build_model("digits", data, recipe)
    folder = tmp_path_factory.mktemp(request.param)
    return data, model, train(recipe, model, data, output_dir=folder, verbose=0)


@pytest.mark.few(1)
def test_a_run_learns_and_is_measured(run):
    data, model, result = run
    measured = evaluate(model, data.test, data.class_names, task=data.task)
    if data.task == "regression":
        assert measured.r2 > 0.8
        assert result.summary["test_mae"] == pytest.approx(measured.mae, rel=1e-4)
        assert result.summary["best_epoch"]["test_mae"] <= measured.mae + 1e-6
        variance = data.train.labels().var()
        assert result.summary["test_loss"] == pytest.approx(measured.rmse**2 / variance, rel=1e-3)
    else:
        assert measured.mean_average_precision > 0.8  # by chance 0.5
        assert result.summary["test_auc"] == pytest.approx(measured.roc_auc, abs=0.02)
        assert result.summary["test_loss"] == pytest.approx(measured.loss, rel=1e-3)
    assert result.summary["class_names"] == list(data.class_names)


@pytest.mark.few(1)
def test_whatever_opens_the_model_says_the_same(run):
    _, model, result = run
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    expected = model.predict(images, verbose=0)
    loaded = keras.saving.load_model(result.files["model"])
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    last = sorted(result.files["checkpoints"].glob("step_*.safetensors"))[-1]
    opened = keras_vit.from_checkpoint(last)
    np.testing.assert_allclose(opened.predict(images, verbose=0), expected, rtol=1e-5)
    assert opened.output_meaning == model.output_meaning


@pytest.mark.few(1)
def test_another_number_of_labels_gets_a_new_head(run, image_sets):
    _, _, result = run
    data = dataset(image_sets, "labels", tuple("abc"), lambda up, low: [up, low, not up])
    model = build_model(str(result.files["model"]), data, RECIPE)
    assert model.output_shape == (None, 3) and model.config.multi_label
    classes = image_sets.data_in_memory()
    model = build_model(str(result.files["model"]), classes, RECIPE)
    assert not model.config.multi_label and model.config.values is None


def test_values_are_refused_where_nothing_can_hold_them(tmp_path):
    model = VisionTransformer(TINY.replace(num_classes=1, values=[(900, 20)]))
    assert model.predict(np.zeros((1, 8, 8, 1)), verbose=0).tolist() == [[900.0]]
    with pytest.raises(ValueError, match="values of a regression"):
        model.probabilities(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="can express.*values="):
        keras_vit.save_checkpoint(model, tmp_path / "model.safetensors", layout="timm")
    for wrong in ([(0, 1), (0, 1)], [(0, 0)]):
        with pytest.raises(ValueError, match="deviation above 0"):
            TINY.replace(num_classes=1, values=wrong)


@pytest.mark.parametrize(
    "objective, task, fields, message",
    [
        (Labels(), "classes", {}, "each 0 or 1"),
        (Classification(), "labels", {"multi_label": True}, "one class an image"),
        (Labels(), "labels", {}, "whose outputs are of one class"),
        (Labels(), "labels", {"num_classes": 3, "multi_label": True}, "2 classes"),
        (Regression(), "labels", {}, "a data set of values"),
        (Regression(), "regression", {"num_classes": 1}, "values=.*of classes"),
        (Regression(), "regression", {"num_classes": 2}, "1 outputs"),
    ],
)
def test_what_does_not_fit_is_refused(image_sets, objective, task, fields, message):
    names = {"regression": ("a",)}.get(task, ("a", "b"))
    labels = np.zeros(2) if task == "classes" else np.zeros((2, len(names)))
    split = image_sets.split_in_memory(np.zeros((2, 8, 8), "uint8"), labels)
    data = ImageDataset("x", names, train=split, task=task)
    activation = "sigmoid" if fields.get("multi_label") else "softmax"
    config = TINY.replace(**{"num_classes": 2, **fields})
    model = VisionTransformer(config, classifier_activation=activation)
    with pytest.raises(ValueError, match=message):
        Task(RECIPE, model, data, objective).check()


def test_values_that_never_change_are_refused(image_sets):
    data = dataset(image_sets, "regression", ("a", "b"), lambda up, low: [up, 3.0])
    with pytest.raises(ValueError, match="differ from image to image.*: b"):
        build_model("digits", data, RECIPE)


def test_weights_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    labels = draw.choice(4, 60, p=[0.6, 0.2, 0.15, 0.05])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    weights = balanced_weights(labels, 4)
    np.testing.assert_allclose(weights, expected)
    assert weights[labels].mean() == pytest.approx(1)
    several = np.stack([labels == 0, labels == 3, labels == 9], axis=1).astype("float32")
    absent, present = balanced_label_weights(several)
    for column in range(2):
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=several[:, column])
        np.testing.assert_allclose([absent[column], present[column]], expected)
    assert (absent[2], present[2]) == (1, 1)  # that nobody has


def test_a_weighted_loss_is_that_of_fit_with_class_weight():
    """Keras divides by the number of images too, not by the sum of the weights."""
    draw = np.random.default_rng(0)
    features, labels = draw.normal(size=(12, 3)), np.eye(2)[draw.integers(0, 2, 12)]
    weights, kernels = np.array([0.5, 3.0]), []
    for weighted in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
        model.compile("sgd", WeightedLoss(loss, weights) if weighted else loss)
        by_class = None if weighted else dict(enumerate(weights))
        model.fit(features, labels, batch_size=12, class_weight=by_class, verbose=0)
        kernels.append(model.get_weights()[0])
    np.testing.assert_allclose(*kernels, rtol=1e-6)


def test_labels_weigh_by_present_and_absent_and_mix_as_labels_do():
    logits = np.array([[1.0, -2.0], [0.5, 0.3], [-1.0, 2.0]], "float32")
    labels = np.array([[1, 0], [0, 1], [0.25, 0.75]], "float32")
    weights = np.array([[0.6, 0.9], [3.0, 1.1]])
    yes, no = np.logaddexp(0, -logits), np.logaddexp(0, logits)
    plain = labels * yes + (1 - labels) * no
    loss = float(LabelsLoss()(labels, logits))
    assert loss == pytest.approx(plain.mean())
    weighted = plain * (labels * weights[1] + (1 - labels) * weights[0])
    assert float(LabelsLoss(0.0, weights)(labels, logits)) == pytest.approx(weighted.mean())
    smooth = 0.9 * labels + 0.05
    expected = (smooth * yes + (1 - smooth) * no).mean()
    assert float(LabelsLoss(0.1)(labels, logits)) == pytest.approx(expected)


def test_balanced_classes_ask_for_an_objective_that_weighs_them(image_sets):
    data = dataset(image_sets, *("regression", *LEARNED["regression"]))
    recipe = RECIPE.replace(class_weights="balanced")
    task = Task(recipe, build_model("digits", data, recipe), data, Regression())
    with pytest.raises(ValueError, match="class_weights=None.*Regression"):
        task.check()
    labels = np.array([0, 0, 0, 1])
    split = image_sets.split_in_memory(np.zeros((4, 8, 8), "uint8"), labels)
    data = ImageDataset("x", ("a", "b"), train=split)
    assert Classification().loss(recipe, data).weights.tolist() == pytest.approx([2 / 3, 2])
