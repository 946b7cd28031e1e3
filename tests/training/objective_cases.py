"""One tiny run of each objective, for programs that train on several replicas or are killed."""

import importlib.util
from pathlib import Path

import numpy as np

KINDS = ("classes", "masked", "distilled", "labels", "adapters")


def image_sets():
    """The module `tests/image_sets.py`."""
    path = Path(__file__).parents[1] / "image_sets.py"
    spec = importlib.util.spec_from_file_location("image_sets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def case(kind, config, recipe):
    """Returns recipe, model, data and objective of a kind; all from a config of two classes."""
    import keras

    from keras_vit.data.dataset import ImageDataset
    from keras_vit.models.vision_transformer import VisionTransformer
    from keras_vit.training.objectives import Distillation, MaskedAutoencoder

    data, objective = image_sets().data_in_memory(), None
    if kind == "masked":
        augmentation = recipe.to_dict()["augmentation"]
        apart = [f"augmentation.{name}=0" for name in ("mixup_alpha", "cutmix_alpha")
                 if augmentation[name]]  # fmt: skip
        recipe, config = recipe.with_settings(apart), config.replace(num_classes=0, patch_size=2)
        objective = MaskedAutoencoder(decoder_size=8, decoder_layers=1)
    if kind == "distilled":
        keras.utils.set_random_seed(1)
        teacher = config.replace(image_size=16, hidden_size=12, dropout_rate=0.0)
        teacher = VisionTransformer(teacher, name="teacher")
        draw = np.random.default_rng(0)
        teacher.set_weights([draw.normal(0, 0.5, w.shape) for w in teacher.get_weights()])
        objective = Distillation(teacher, "soft")
    if kind == "adapters":
        recipe = recipe.replace(lora_rank=2)
    activation = "softmax"
    if kind == "labels":
        splits = {role: _unbalanced(split) for role, split in data.splits.items()}
        data = ImageDataset("easy", data.class_names, task="labels", **splits)
        recipe = recipe.replace(class_weights="balanced")
        config, activation = config.replace(multi_label=True), "sigmoid"
    keras.utils.set_random_seed(0)
    model = VisionTransformer(config, classifier_activation=activation)
    return recipe, model, data, objective


def _unbalanced(split):
    """The same images with two labels: the class, and every fifth image."""
    found = list(split.references().as_numpy_iterator())
    labels = [[each["label"], number % 5 == 0] for number, each in enumerate(found)]
    return _split(split.name, [each["image"] for each in found], np.array(labels, "float32"))


def _split(name, images, labels):
    from keras_vit.data.dataset import Split

    def references():
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

    return Split(name, len(images), references)
