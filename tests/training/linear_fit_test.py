"""Logistic regression as a head: the logits of scikit-learn's own, and none for absent classes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from keras_vit.training.linear_fit import fit_linear


def clouds(classes, count=60, seed=0):
    """Returns vectors on very different scales, and labels."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    vectors = np.random.default_rng(9).normal(size=(classes, 4))[labels]
    return (vectors + draw.normal(size=(count, 4))) * [1e-3, 1, 1e3, 1] + 5, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_kernel_and_bias_are_those_of_the_regression_on_standardised_vectors(classes):
    vectors, labels = clouds(classes)
    fitted = fit_linear(vectors, labels, classes, strengths=[0.1])
    scaler = StandardScaler().fit(vectors)
    other = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(vectors), labels)
    logits = vectors @ fitted.kernel + fitted.bias
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = other.predict_proba(scaler.transform(vectors))
    np.testing.assert_allclose(shares, wanted, rtol=1e-6)
    assert fitted.strength == 0.1 and fitted.converged
    assert fitted.accuracy(vectors, labels) == other.score(scaler.transform(vectors), labels)


def test_a_class_without_examples_is_never_found():
    vectors, labels = clouds(3)
    fitted = fit_linear(vectors, labels + (labels == 2), 4)
    found = (vectors @ fitted.kernel + fitted.bias).argmax(axis=1)
    assert set(found) == {0, 1, 3}
