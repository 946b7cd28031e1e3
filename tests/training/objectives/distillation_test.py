"""A distillation has timm's losses, and a teacher that sees what it knows and stays as it is."""

import keras
import numpy as np
import pytest

from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import Recipe, train
from keras_vit.training.objectives import Distillation
from keras_vit.training.objectives.distillation import DistillationLoss, Teacher

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
RECIPE = Recipe(epochs=1, batch_size=8, learning_rate=0.01)


def _model(seed=0, **fields):
    keras.utils.set_random_seed(seed)
    model = VisionTransformer(TINY.replace(**fields))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


# By LogitDistillationTask and TokenDistillationTask of timm 1.0.31 on the same logits, with weights
# of 0.7 and 0.3 and a temperature of 2.
@pytest.mark.parametrize(
    "kind, student, expected",
    [
        ("soft", "logits", 1.2786917686462402),
        ("soft", "cosine", 1.2721693515777588),
        ("hard", "cosine", 1.4731522798538208),
    ],
)
def test_losses_are_those_of_timm(kind, student, expected):
    logits = np.linspace(-2, 2, 12, dtype="float32").reshape(3, 4)
    student = logits if student == "logits" else np.cos(logits)
    outputs = np.concatenate([logits, student, 2 * np.sin(3 * logits)], axis=-1)
    labels = np.eye(4, dtype="float32")[[1, 0, 3]]
    assert float(DistillationLoss(kind, 0.3, 2.0)(labels, outputs)) == pytest.approx(expected)


def test_features_are_compared_by_their_cosine():
    labels, logits = np.eye(2, dtype="float32"), np.zeros((2, 2), "float32")
    student, teacher = [[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, -1.0]]
    outputs = np.concatenate([logits, student, teacher], axis=-1).astype("float32")
    loss = float(DistillationLoss("features", 1.0, 1.0)(labels, outputs))
    assert loss == pytest.approx((0 + 2) / 2, abs=1e-6)


def test_a_teacher_gets_images_as_it_knows_them():
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    given = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
    wanted = Preprocessing(size=4, mean=(0.25,), std=(0.125,))
    taught = Teacher(model, given, wanted)(np.full((1, 8, 8, 1), 0.5, "float32"))
    assert float(taught[0, 0]) == pytest.approx((0.75 - 0.25) / 0.125, rel=1e-5)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "kind, fields",
    [
        ("soft", {}),
        ("features", {"projection_size": 6}),
        ("hard", {"distillation_token": True, "pooling": "token+distillation"}),
    ],
)
def test_a_model_learns_and_the_teacher_stays(image_sets, tmp_path, kind, fields):
    teacher, model = _model(1, image_size=16, hidden_size=16), _model(**fields)
    before = teacher.get_weights()
    result = train(RECIPE, model, image_sets.data_in_memory(), output_dir=tmp_path, verbose=0,
                   objective=Distillation(teacher, kind))  # fmt: skip
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(result.summary["test_loss"])
    assert result.summary["objective"]["kind"] == kind
    accuracy = np.mean(_predictions(model, image_sets) == np.arange(8) % 2)
    assert result.summary["test_accuracy"] == pytest.approx(accuracy)
    saved = keras.saving.load_model(result.files["model"])
    assert saved.count_params() == model.count_params()


def _predictions(model, image_sets):
    from keras_vit.data import evaluation_batches

    batches = evaluation_batches(
        image_sets.data_in_memory().test, model.preprocessing, batch_size=8, num_classes=2
    )
    return model.predict(batches, verbose=0).argmax(-1)


def test_what_does_not_fit_is_refused(image_sets):
    data = image_sets.data_in_memory()
    with pytest.raises(ValueError, match="teacher with 2 classes.*with 3"):
        Distillation(_model(num_classes=3)).check(RECIPE, _model(), data)
    with pytest.raises(ValueError, match="loss='softmax'"):
        Distillation(_model()).check(RECIPE.replace(loss="sigmoid"), _model(), data)
    with pytest.raises(ValueError, match="kind"):
        Distillation(_model(), "softly")
