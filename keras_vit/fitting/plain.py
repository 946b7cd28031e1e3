"""The trained model on backends without `tf.distribute`: Keras's own step."""

from collections.abc import Mapping

import keras

from keras_vit.fitting.options import StepOptions


@keras.saving.register_keras_serializable(package="keras_vit")
class TrainableModel(keras.Model):
    """A Keras model with the `compile` of the TensorFlow backend; see `StepOptions`."""

    def compile(
        self,
        *args,
        accumulation_steps: int = 1,
        sharpness_radius: float = 0.0,
        learning_rate_scales: Mapping[str, float] | None = None,
        **kwargs,
    ) -> None:
        """Compiles as Keras does.

        Raises:
            ValueError: an option that only the TensorFlow backend has.
        """
        options = StepOptions(accumulation_steps, sharpness_radius, learning_rate_scales or {})
        if not options.is_plain:
            raise ValueError(
                "Expected Keras's own training step on the backend "
                f"{keras.backend.backend()!r}. Received: {options}. Train on TensorFlow, or "
                "accumulate with the optimizer's `gradient_accumulation_steps`."
            )
        super().compile(*args, **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)
