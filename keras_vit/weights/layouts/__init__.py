"""The layouts: each file here owns all that is known of the files of one family of libraries.

A layout knows its table of names, what shapes do not tell of a model, how images are prepared, what
it has no place for, and how a model is saved.
"""

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.weights.layouts.aimv2 import AIMV2
from keras_vit.weights.layouts.beit import BEIT, INTERNVL
from keras_vit.weights.layouts.bound import BoundCheckpoint
from keras_vit.weights.layouts.dinov2 import DINOV2, PIXIO, TIPS
from keras_vit.weights.layouts.dinov3 import DINOV3
from keras_vit.weights.layouts.google import GOOGLE
from keras_vit.weights.layouts.keras_hub import HUB_DINOV2, HUB_VIT
from keras_vit.weights.layouts.layout import Layout
from keras_vit.weights.layouts.open_clip import OPEN_CLIP
from keras_vit.weights.layouts.timm import TIMM
from keras_vit.weights.layouts.timm_classes import TIMM_CLASSES
from keras_vit.weights.layouts.timm_variants import TIMM_NAFLEX, TIMM_PROJECTED
from keras_vit.weights.layouts.towers import TOWERS
from keras_vit.weights.layouts.vit import VIT

LAYOUTS = (
    GOOGLE, *TIMM_CLASSES, TIMM_PROJECTED, TIMM, TIMM_NAFLEX,
    DINOV3, BEIT, AIMV2, PIXIO, TIPS, INTERNVL, TOWERS, DINOV2, VIT, OPEN_CLIP,
    HUB_VIT, HUB_DINOV2,
)  # fmt: skip
NAMES = tuple(dict.fromkeys(layout.name for layout in LAYOUTS if not layout.read_only))


def layout_for(name: str, config: VisionTransformerConfig) -> Layout:
    """Returns the layout that a model is saved in.

    Args:
        name: `"google"`, `"timm"` or `"huggingface"`.
        config: the architecture of the model.

    Raises:
        ValueError: another name, or that of a layout which is read alone.
    """
    if name not in NAMES:
        reason = next((f", {each.read_only}" for each in LAYOUTS if each.name == name), "")
        raise ValueError(f"Expected `layout` to be one of {NAMES}. Received: {name!r}{reason}.")
    return next(each for each in LAYOUTS if each.name == name and each.suits(config))


__all__ = ["LAYOUTS", "NAMES", "BoundCheckpoint", "Layout", "layout_for"]
