"""What is asked of a run: a recipe, a model, a data set and an objective that fit each other."""

import dataclasses
import json
import math
import os
import re
from typing import Any

import keras

from keras_vit.data.dataset import ImageDataset
from keras_vit.fitting import TrainableModel
from keras_vit.training.layer_rates import add_adapters, freeze, layer_decay
from keras_vit.training.objectives.objective import Objective
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.probe_first import check_probe
from keras_vit.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run is given: how a model is trained, on what data, and what it learns."""

    recipe: Recipe
    model: keras.Model
    data: ImageDataset
    objective: Objective

    def check(self) -> None:
        """Refuses parts that do not fit each other.

        The recipe's dtype must be that of the model, and so must its rates of dropout and drop path
        and its rematerialisation, if it has any and the model has a `config` that says them.

        Raises:
            ValueError: what does not fit.
        """
        recipe, model = self.recipe, self.model
        if getattr(model, "preprocessing", None) is None:
            raise ValueError(
                "Expected a model with `preprocessing`, a keras_vit.Preprocessing that says "
                f"how an image becomes its input. Received: {type(model).__name__} {model.name!r} "
                "without it. Set the attribute."
            )
        self.objective.check(recipe, model, self.data)
        if recipe.class_weights and not self.objective.weighs_classes:
            raise ValueError(
                "Expected class_weights=None for an objective without classes to weigh. Received: "
                f"{recipe.class_weights!r} and {type(self.objective).__name__}."
            )
        if recipe.probe_first:
            check_probe(model, self.data)
        config = getattr(model, "config", None)
        names = ("dropout_rate", "drop_path_rate", "rematerialize") if config is not None else ()
        built = {name: getattr(config, name, None) for name in names}
        for name, found in {**built, "dtype": model.dtype_policy.name}.items():
            wanted = getattr(recipe, name)
            if wanted is not None and wanted != found:
                raise ValueError(
                    f"Expected a model built with {name}={wanted}, as the recipe says. Received: "
                    f"{name}={found}. Build it so, or use recipe.replace({name}=None)."
                )

    def compile(self, total_steps: int) -> TrainableModel:
        """Returns the network that is trained, compiled.

        The model itself stays as it came, but for parts that the recipe freezes and adapters that
        it adds: what it saves is the network alone.
        """
        recipe, model = self.recipe, self.model
        if recipe.freeze is not None:
            freeze(model, recipe.freeze)
        if recipe.lora_rank is not None:
            add_adapters(model, recipe.lora_rank, recipe.lora_alpha, recipe.lora_targets)
        rates = layer_decay(model, recipe.layer_decay) if recipe.layer_decay else {}
        with model.distribute_strategy.scope():
            network = self.objective.network(model)
            trained = {layer.name for layer in network.layers}
            network.compile(
                optimizer=make_optimizer(recipe, network, total_steps),
                loss=self.objective.loss(recipe, self.data),
                metrics=self.objective.metrics(self.data),
                jit_compile=False,
                accumulation_steps=recipe.accumulation_steps,
                sharpness_radius=recipe.sharpness_radius,
                learning_rate_scales={k: rate for k, rate in rates.items() if k in trained},
            )
        return network

    def identity(self) -> dict[str, Any]:
        """Returns what makes two runs the same one, as plain JSON values.

        All of the recipe and of the objective counts; of the model its config, where it has one,
        its name, dtype policy, preprocessing and size without adapters; of the data its class
        names, the numbers of its images, the last part of its name (the folder of photos may have
        moved), and the kinds of the layers that change its batches.
        """
        model, data = self.model, self.data
        config = getattr(model, "config", None)
        recipe = self.recipe.to_dict()
        del recipe["dtype"]  # that of the model counts
        values = {
            "recipe": recipe,
            "objective": self.objective.to_dict(),
            "model": {
                "name": re.sub(r"_\d+$", "", model.name),  # the number counts models of the process
                "dtype": model.dtype_policy.name,
                "parameters": sum(
                    math.prod(weight.shape)
                    for weight in model.weights
                    if not weight.name.startswith("lora_kernel_")
                ),
                "preprocessing": model.preprocessing.to_dict(),
                "config": config.to_dict() if hasattr(config, "to_dict") else None,
            },
            "data": {
                "name": os.path.basename(os.path.normpath(data.name)),
                "class_names": data.class_names,
                "images": {role: split.num_examples for role, split in data.splits.items()},
            },
        }
        if layers := data.split("train").augment:
            values["data"]["augment"] = [type(layer).__name__ for layer in layers]
        return json.loads(json.dumps(values))
