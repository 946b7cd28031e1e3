"""The trained model on TensorFlow: `compile` and `fit` under any `tf.distribute` strategy."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vit.fitting import keras_internals, step
from keras_vit.fitting.options import StepOptions

REDUCTIONS = ("sum_over_batch_size", "mean", step.WEIGHTED_MEAN, "sum")
# The key of the step's options in the config of a compiled model's optimizer.
_OPTIONS = "step_options"
_KERAS_BATCH = 32  # images a batch of `predict` where none are told


@keras.saving.register_keras_serializable(package="keras_vit")
class TrainableModel(keras_internals.BuildsFromLocalBatch, keras.Model):
    """A Keras model that trains to the same numbers on one replica and on many.

    `compile` and `fit` are Keras's, in a script's usual lines and under `MirroredStrategy`,
    `MultiWorkerMirroredStrategy` and `TPUStrategy`. Different from Keras:

    - The optimizer's clipping acts once, on the gradient of the whole batch.
    - A loss or metric is that of all examples, also where the replicas have unequal parts or none.
    - `compile` takes the arguments of `StepOptions`.
    - `jit_compile="auto"` compiles with XLA on a single GPU only; on a CPU it is slower.

    Model, optimizer and metrics that are objects must be made in the scope of the strategy.

    Attributes:
        step_options: what the step does beyond Keras's; set by `compile`.
    """

    def compile(
        self,
        *args,
        accumulation_steps: int = 1,
        sharpness_radius: float = 0.0,
        learning_rate_scales: Mapping[str, float] | None = None,
        **kwargs,
    ) -> None:
        """Compiles as Keras does, and checks that the strategy can do what is asked.

        Arguments are those of `keras.Model.compile` and of `StepOptions`.

        Raises:
            ValueError: an option out of its range, an optimizer or a model from outside the scope
                of the strategy, or what the strategy cannot do; the error says what to do.
        """
        options = StepOptions(
            accumulation_steps, sharpness_radius, dict(learning_rate_scales or {})
        )
        options.check_layers({layer.name for layer in self.layers})
        strategy = self._checked_strategy()
        if kwargs.get("jit_compile", "auto") == "auto":
            kwargs["jit_compile"] = _compiles_well(strategy)
        with strategy.scope():
            super().compile(*args, **kwargs)
        self.step_options = options
        self._check_compiled(strategy)

    @property
    def loss_reduction(self) -> str:
        """How the compiled losses reduce over examples, one of `REDUCTIONS`."""
        reductions = _reductions(getattr(self, "loss", None))
        return reductions.pop() if len(reductions) == 1 else REDUCTIONS[0]

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the optimizer's variables, outside of any graph, then Keras's function."""
        if self.optimizer is not None and not self.optimizer.built:
            with (keras_internals.strategy_of(self) or tf.distribute.get_strategy()).scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Runs `keras_vit.fitting.step.train_step`."""
        return step.train_step(self, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Runs `keras_vit.fitting.step.test_step`."""
        return step.test_step(self, data)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Predicts as Keras does; with `verbose=0` one batch without the cost of a data set.

        Keras makes a `tf.data.Dataset` of any array, which takes longer than a small model.
        """
        is_batch = (
            isinstance(x, np.ndarray)
            and x.dtype == np.float32
            and 0 < len(x) <= (batch_size or _KERAS_BATCH)
        )
        alone = self.distribute_strategy.num_replicas_in_sync == 1
        if is_batch and alone and verbose == 0 and steps is None and callbacks is None:
            return self.predict_on_batch(x)
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns Keras's config, the step's options in its optimizer's.

        There Keras looks for what it knows alone: `keras.models.clone_model` makes a plain Keras
        model of ours, whose `compile` takes no such options; its step is Keras's own.
        """
        config = super().get_compile_config()
        if not config or self.step_options.is_plain or self.optimizer is None:
            return config
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {**config, "optimizer": {**optimizer, _OPTIONS: self.step_options.to_dict()}}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says, or as a plain Keras model's does."""
        optimizer = config.get("optimizer")
        options = optimizer.get(_OPTIONS, {}) if isinstance(optimizer, dict) else {}
        self.compile(**keras.saving.deserialize_keras_object(config), **options)
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def _checked_strategy(self) -> tf.distribute.Strategy:
        """Returns the strategy that the model was made under."""
        strategy = keras_internals.strategy_of(self) or tf.distribute.get_strategy()
        if strategy.num_replicas_in_sync > 1 and self.variables:
            if not strategy.extended.variable_created_in_scope(self.variables[0].value):
                raise ValueError(
                    "Expected a model made in the scope of the strategy. Received: a model made "
                    f"outside of {type(strategy).__name__}. Build it within "
                    "`with strategy.scope():`."
                )
        return strategy

    def _check_compiled(self, strategy: tf.distribute.Strategy) -> None:
        """Refuses what cannot work before the first step."""
        reductions = _reductions(getattr(self, "loss", None))
        replicas = strategy.num_replicas_in_sync
        is_cut = replicas > 1 or self.step_options.accumulation_steps > 1
        if is_cut and (len(reductions) > 1 or not reductions <= set(REDUCTIONS)):
            raise ValueError(
                f"Expected losses with one reduction of {REDUCTIONS}, so that the parts of a batch "
                f"can be added. Received: {sorted(map(str, reductions))}."
            )
        if replicas == 1:
            return
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if optimizer is not None:
            _check_optimizer(optimizer, strategy)
        for name, value, allowed in (
            ("steps_per_execution", self.steps_per_execution, 1),
            ("jit_compile", bool(self.jit_compile), False),
        ):
            if value != allowed:
                raise ValueError(
                    f"Expected {name}={allowed} under {type(strategy).__name__} with {replicas} "
                    f"replicas. Received: {name}={value}."
                )


def _check_optimizer(
    optimizer: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy
) -> None:
    """Refuses an optimizer that cannot work on several replicas."""
    name = type(strategy).__name__
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"Expected accumulation inside the step under {name}. Received: an optimizer with "
            f"gradient_accumulation_steps={optimizer.gradient_accumulation_steps}. Use "
            f"compile(accumulation_steps={optimizer.gradient_accumulation_steps}) with a batch "
            "that many times larger."
        )
    if not strategy.extended.variable_created_in_scope(optimizer.iterations.value):
        raise ValueError(
            "Expected an optimizer made in the scope of the strategy. Received: a "
            f"{type(optimizer).__name__} made outside of {name}. Make it within "
            "`with strategy.scope():`, or pass its name."
        )


def _reductions(loss: Any) -> set[str | None]:
    """Returns the reductions of the losses given to `compile`; names and functions are means."""
    losses = [one for one in keras.tree.flatten(loss) if one is not None]
    return {getattr(one, "reduction", REDUCTIONS[0]) for one in losses} or {REDUCTIONS[0]}


def _compiles_well(strategy: tf.distribute.Strategy) -> bool | str:
    """Says whether Keras may choose XLA by itself."""
    if strategy.num_replicas_in_sync > 1 or not tf.config.list_physical_devices("GPU"):
        return False
    return "auto"
