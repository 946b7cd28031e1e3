"""What is asked of a worker."""

import dataclasses
from typing import Any


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
    """

    subject: str
    model: str = ""
    dtype: str = "float32"
    batch_size: int = 8
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
