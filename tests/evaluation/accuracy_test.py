"""Every measure agrees with a count by hand or with scikit-learn."""

import json

import keras
import numpy as np
import pytest

from keras_vit.evaluation import accuracy
from keras_vit.images.spec import Preprocessing

NAMES = tuple("abcdef")


@pytest.fixture
def random_scores():
    """Probabilities and labels of 200 examples in six classes."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(6), 200)
    labels = np.where(
        rng.uniform(size=200) < 0.5, probabilities.argmax(-1), rng.integers(0, 6, 200)
    )
    return probabilities, labels


def test_accuracy_loss_and_confusion_are_those_of_scikit_learn_and_of_a_count(random_scores):
    from sklearn import metrics

    probabilities, labels = random_scores
    result = accuracy.score(probabilities, labels, NAMES)
    predicted = probabilities.argmax(-1)
    assert result.num_examples == 200
    assert result.top1 == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert result.top5 == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=5))
    assert result.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=range(6)))
    counted = [[((labels == i) & (predicted == j)).sum() for j in range(6)] for i in range(6)]
    np.testing.assert_array_equal(result.confusion, counted)
    for index, row in enumerate(result.per_class()):
        of_class, called_so = labels == index, predicted == index
        assert row["class"] == NAMES[index]
        assert row["images"] == of_class.sum()
        assert row["recall"] == pytest.approx(called_so[of_class].mean())
        assert row["precision"] == pytest.approx(of_class[called_so].mean())


def test_top5_is_left_out_where_it_says_nothing():
    result = accuracy.score(np.eye(5), np.arange(5), NAMES[:5])
    assert result.top5 is None
    assert result.top1 == 1.0


def test_a_class_without_images_has_no_share():
    result = accuracy.score([[0.9, 0.1], [0.8, 0.2]], [0, 0], ("a", "b"))
    assert result.per_class()[1] == {"class": "b", "images": 0, "recall": None, "precision": None}
    assert "-" in result.table()


def test_the_result_goes_into_json(random_scores):
    result = accuracy.score(*random_scores, NAMES)
    values = json.loads(json.dumps(result.to_dict()))
    assert values["top1"] == result.top1
    assert np.sum(values["confusion"]) == 200
    assert len(values["per_class"]) == 6


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_equal_and_broken_scores_stand_as_a_stable_sort_has_them():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (300, 8)) / 8
    scores[rng.random(scores.shape) < 0.1] = np.nan
    labels = rng.integers(0, 8, 300)
    places = (np.argsort(-scores, axis=-1, kind="stable") == labels[:, None]).argmax(axis=-1)
    result = accuracy.score(scores, labels, tuple("abcdefgh"))
    assert result.top1 == (places == 0).mean() and result.top5 == (places < 5).mean()


def test_many_classes_make_no_matrix():
    labels = np.array([0, 2_999, 2_999])
    result = accuracy.score(np.eye(3_000)[[0, 2_999, 7]], labels, [str(n) for n in range(3_000)])
    values = json.loads(json.dumps(result.to_dict()))
    assert values["confusion_pairs"] == [[0, 0, 1], [2_999, 7, 1], [2_999, 2_999, 1]]
    assert "confusion" not in values and values["balanced_accuracy"] == 0.75


def test_calibration_error_by_hand():
    # Two bins are used: 0.6 sure and right once of two, 0.9 sure and always right.
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9]])
    error = accuracy.expected_calibration_error(probabilities, np.array([0, 1, 0, 1]))
    assert error == pytest.approx(0.5 * abs(0.5 - 0.6) + 0.5 * abs(1.0 - 0.9))


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not():
    labels = np.array([0, 1, 0])
    sure = np.eye(2)[labels]
    assert accuracy.expected_calibration_error(sure, labels) == 0
    assert accuracy.expected_calibration_error(sure, 1 - labels) == 1


@pytest.mark.parametrize("shape", [(3, 5), (2, 6), (0, 6)])
def test_shapes_that_do_not_belong_together_are_refused(shape):
    labels = np.zeros(0 if shape[0] == 0 else 3, int)
    with pytest.raises(ValueError, match="probabilities of shape"):
        accuracy.score(np.ones(shape), labels, NAMES)


def _bright_row_model(activation=keras.ops.softmax, scale=20):
    """Knows the images of the set in memory: the label is the row that shines."""
    images = keras.Input((8, 8, 1))
    rows = keras.ops.mean(images, axis=(2, 3))[:, :2]
    model = keras.Model(images, activation(scale * rows))
    model.preprocessing = Preprocessing(size=8, mean=(0.5,), std=(0.5,))
    return model


def test_a_model_is_measured_on_every_image_of_a_split(image_sets):
    data = image_sets.data_in_memory(train=22)
    model = _bright_row_model()
    result = accuracy.evaluate(model, data.train, data.class_names, batch_size=5)
    assert result.num_examples == 22
    assert result.top1 == 1.0
    assert result.confusion.tolist() == [[11, 0], [0, 11]]
    assert result.images_per_second > 0
    assert accuracy.evaluate(model, data.test, data.class_names).images_per_second is None


def test_logits_are_measured_as_the_probabilities_that_they_mean(image_sets):
    data = image_sets.data_in_memory(train=22)
    measured, of_logits, of_sigmoids = (
        accuracy.evaluate(_bright_row_model(activation, 2), data.train, data.class_names)
        for activation in (keras.ops.softmax, keras.layers.Identity(), keras.ops.sigmoid)
    )
    assert of_logits.loss == pytest.approx(measured.loss, abs=1e-6)
    assert of_logits.calibration_error == pytest.approx(measured.calibration_error, abs=1e-6)
    assert 0.01 < measured.loss < of_sigmoids.loss < 0.25  # a softmax of sigmoids: above 0.3


def test_a_model_with_other_outputs_is_refused(image_sets):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    with pytest.raises(ValueError, match="2 outputs"):
        accuracy.evaluate(model, image_sets.data_in_memory().test, ("a", "b"))
