"""A config that follows from the arguments of a layer."""

import inspect

import keras


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose config holds each argument that it keeps under the argument's own name."""

    def get_config(self):
        kept, config = vars(self), super().get_config()
        for cls in type(self).__mro__:
            if issubclass(cls, ConfiguredLayer):
                arguments = inspect.signature(cls.__init__).parameters
                config |= {name: kept[name] for name in arguments if name in kept}
        return config
