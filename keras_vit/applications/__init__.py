"""Models made for the asking: the factories, from a checkpoint, from a file."""

from keras_vit.applications.checkpoint import from_checkpoint
from keras_vit.applications.factories import *
from keras_vit.applications.factories import __all__ as _factories

__all__ = [*_factories, "from_checkpoint"]
