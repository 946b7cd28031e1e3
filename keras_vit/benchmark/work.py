"""What is asked of a worker."""

import dataclasses
from typing import Any

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import get_variant


@dataclasses.dataclass(frozen=True)
class Work:
    """One subject at one size.

    Attributes:
        subject: a key of `SUBJECTS`, or the `module:function` of one that is not there.
        model: name of a variant, or what else the subject takes.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; the latter two as mixed policies.
        batch_size: images a batch.
        options: for our own model, keyword arguments of its factory, such as
            `{"rematerialize": True}`; sequences as lists.
        image_size: side in pixels; None is the variant's own.
    """

    subject: str
    model: str = ""
    dtype: str = "float32"
    batch_size: int = 8
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    image_size: int | None = None

    @property
    def config(self) -> VisionTransformerConfig:
        """The variant at that size."""
        config = get_variant(self.model)
        return config.replace(image_size=self.image_size) if self.image_size else config
