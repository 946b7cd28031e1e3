"""The image towers of open_clip, and of CLIP as its authors named it; read, not written."""

from keras_vit.images.spec import STATISTICS
from keras_vit.weights.layouts.bound import POSITIONS
from keras_vit.weights.layouts.layout import Layout
from keras_vit.weights.layouts.stated import Stated
from keras_vit.weights.rows import BLOCK, linear, row, torch_norm

_LAYER = "transformer.resblocks.{i}"
# Other values in `vision_cfg` would be other models.
_ONLY = {
    "pool_type": "tok", "no_ln_pre": False, "final_ln_after_pool": False,
    "attentional_pool": False, "global_average_pool": False, "input_patchnorm": False,
    "pos_embed_type": "learnable", "qk_norm": False,
}  # fmt: skip
_RESIZES = {"shortest": "crop", "squash": "squash"}


class OpenClipLayout(Layout):
    """`visual.*` beside a text tower, or a tower alone; `open_clip_config.json` beside the file."""

    name = "open_clip"
    read_only = (
        "which is read and not written: its files are of an image tower beside a text tower; "
        'transformers reads the image tower that layout="huggingface" writes'
    )
    signature = "class_embedding"
    prefixes = ("visual.", "")
    prefixed_only = True  # the text tower has the same names without the prefix
    rows = (
        row("conv1.weight", "patch_encoder/projection/kernel", "torch_patch"),
        row("class_embedding", "patch_encoder/class_token", "token"),
        row("positional_embedding", POSITIONS, "table"),
        *torch_norm("ln_pre", "pre_norm"),
        *torch_norm(f"{_LAYER}.ln_1", f"{BLOCK}/attention_norm"),
        row(f"{_LAYER}.attn.in_proj_weight", f"{BLOCK}/attention/qkv/kernel", "linear"),
        row(f"{_LAYER}.attn.in_proj_bias", f"{BLOCK}/attention/qkv/bias"),
        *linear(f"{_LAYER}.attn.out_proj", f"{BLOCK}/attention/output"),
        row(f"{_LAYER}.ls_1.gamma", f"{BLOCK}/attention_scale/gamma"),
        *torch_norm(f"{_LAYER}.ln_2", f"{BLOCK}/mlp_norm"),
        *linear(f"{_LAYER}.mlp.c_fc", f"{BLOCK}/mlp/hidden"),
        *linear(f"{_LAYER}.mlp.c_proj", f"{BLOCK}/mlp/output"),
        row(f"{_LAYER}.ls_2.gamma", f"{BLOCK}/mlp_scale/gamma"),
        *torch_norm("ln_post", "encoder_norm"),
        row("proj", "projection/kernel"),
    )
    ignored = (
        r"(transformer|token_embedding|ln_final|text)\..*",
        r"text_projection|positional_embedding|logit_scale|logit_bias|attn_mask",
        r"input_resolution|context_length|vocab_size",
    )

    def read_config(self, bound, fields, given):
        model, tower = _stated(bound, given, "model_cfg"), _vision(bound, given)
        for name, field in (("layers", "num_layers"), ("width", "hidden_size")):
            tower.integer(name)
            tower.agree(name, fields[field], field)
        tower.agree("patch_size", fields["patch_size"], "patch_size")
        for name, value in _ONLY.items():
            tower.must_be(name, value, f"tower of open_clip with another {name}")
        told = {
            "layer_norm_epsilon": 1e-5,
            "position_embedding_interpolation": "bicubic_antialias",
            "gelu": "quick" if model.flag("quick_gelu", False) else "erf",
        }
        if tower.values:
            told["num_heads"] = fields["hidden_size"] // tower.integer("head_width", 64)
        elif "gelu" not in given:
            bound.guess(
                "gelu='erf', since there is no open_clip_config.json; the models of OpenAI, of the "
                "same names, have gelu='quick'"
            )
        return told

    def stated_size(self, bound):
        return _vision(bound).size("image_size")

    def prepare(self, bound, size):
        fields = {**STATISTICS["clip"], "resampling": "bicubic", "resize": "crop"}
        stated = _stated(bound, {}, "preprocess_cfg")
        for name in ("mean", "std"):
            fields[name] = stated.numbers(name, fields[name])
        fields["resampling"] = stated.text("interpolation", "bicubic")
        fields["resize"] = stated.choice("resize_mode", _RESIZES, "crop")
        return fields


def _stated(bound, given, part: str) -> Stated:
    values = bound.file.beside("open_clip_config.json").get(part) or {}
    return Stated(values, f"{part} of the open_clip_config.json beside {bound.file.path!r}", given)


def _vision(bound, given=None) -> Stated:
    model = _stated(bound, given or {}, "model_cfg")
    return Stated(model.values.get("vision_cfg", {}), f"vision_cfg in {model.where}", given)


OPEN_CLIP = OpenClipLayout()
