"""What is timm's in other names than its Vision Transformer has, or in other places."""

import dataclasses

import numpy as np

from keras_vit.weights.layouts.timm import TimmLayout
from keras_vit.weights.layouts.timm_names import ROWS


class TimmProjectedLayout(TimmLayout):
    """A model with a projection, as it is saved here: timm has a head in its place.

    `projection_size` in `config.json`, which timm does not read, tells it from a head.
    """

    rows = tuple(
        dataclasses.replace(each, targets=("projection/kernel",), unless=None)
        if each.targets == ("head/kernel",)
        else each
        for each in ROWS
        if each.targets != ("head/bias",)
    )
    ignored = (*TimmLayout.ignored, r"head\.bias")

    def bind(self, file):
        return super().bind(file) if "projection_size" in file.config else None

    def suits(self, config):
        return False

    def read_config(self, bound, fields, given):
        bias = f"{bound.prefix}head.bias"
        if bias in bound.file.specs and np.any(bound.file.read(bias)):
            raise ValueError(
                f"Expected zeros in {bias} of {bound.file.path!r}, since config.json has "
                "projection_size. Received: other numbers. Without projection_size it is a head."
            )
        outputs = {**fields, "num_classes": fields["projection_size"]}
        return super().read_config(bound, outputs, given)


class TimmNaFlexLayout(TimmLayout):
    """timm's names of NaFlexViT, whose patches are cut before, here at one size for all images."""

    signature = "embeds.proj.weight"
    read_only = "which is read and not written: a model of one size is saved as any of timm"
    any_grid = True

    def table_name(self, name):
        if name.startswith("embeds.proj."):
            return name.replace("embeds.", "patch_embed.")
        return super().table_name(name.removeprefix("embeds."))

    def suits(self, config):
        return False

    def _likely_gelu(self, bound, fields):
        plain = fields.get("pooling") == "map" and not fields["num_register_tokens"]
        return "tanh" if plain else "erf"  # SigLIP 2

    def position_rows(self, bound):
        return [0]


TIMM_PROJECTED, TIMM_NAFLEX = TimmProjectedLayout(), TimmNaFlexLayout()
