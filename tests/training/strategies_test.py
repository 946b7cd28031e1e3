"""Strategies by name, and what a run reads of the one that its model was built in."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data.augmentation import Augmentation
from keras_vit.images.spec import Preprocessing
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import strategies

TINY = VisionTransformerConfig(image_size=8, in_channels=1, patch_size=4, hidden_size=8,
                               num_layers=1, num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip
GREY = Preprocessing(size=8, mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "miror"}, "Expected a strategy.*'miror'"),
        ({"name": "none", "replicas": 2}, "only for 'mirrored'"),
        ({"name": "mirrored", "replicas": 0}, "at least 1"),
    ],
)
def test_impossible_strategies_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        strategies.make_strategy(**arguments)


def test_one_replica_needs_no_cluster():
    assert strategies.make_strategy("none") is tf.distribute.get_strategy()
    with strategies.make_strategy("mirrored").scope():
        mirrored = VisionTransformer(TINY)
    for model in (VisionTransformer(TINY), mirrored):
        cluster = strategies.Cluster(model)
        assert (cluster.num_workers, cluster.worker, cluster.is_chief) == (1, 0, True)
        assert cluster.total(3.0) == 3.0
        cluster.check_batch(7)


def test_batches_are_plain_ones_on_one_replica(image_sets):
    cluster = strategies.Cluster(VisionTransformer(TINY))
    split = image_sets.data_in_memory().train
    arguments = {"batch_size": 6, "num_classes": 2}
    batches = cluster.training_batches(
        split, GREY, seed=0, augmentation=Augmentation(), start_step=0, **arguments
    )
    assert next(iter(batches))[0].shape == (6, 8, 8, 1)
    held_out = list(cluster.evaluation_batches(split, GREY, **arguments))
    assert sum(len(images) for images, _ in held_out) == 24


def test_a_worker_without_images_left_gets_empty_batches(image_sets):
    from keras_vit.data import evaluation_batches

    split = image_sets.data_in_memory().train
    batches = evaluation_batches(split, GREY, batch_size=10, num_classes=2)
    padded = list(strategies.exactly(batches, 5))
    assert [len(images) for images, _ in padded] == [10, 10, 4, 0, 0]
    for (images, labels), (padded_images, padded_labels) in zip(batches, padded, strict=False):
        np.testing.assert_array_equal(images, padded_images)
        np.testing.assert_array_equal(labels, padded_labels)


def test_a_lost_worker_is_named_only_where_there_are_several(tmp_path):
    cluster = strategies.Cluster(VisionTransformer(TINY))
    error = tf.errors.UnavailableError(None, None, "socket closed")
    with pytest.raises(tf.errors.UnavailableError), cluster.watching(tmp_path):
        raise error
    cluster.num_workers = 2
    with pytest.raises(strategies.WorkerLostError, match="start all workers again"):
        with cluster.watching(tmp_path):
            raise error
