"""Pre-trains a Vision Transformer on images without labels, as a masked autoencoder.

Most patches of each image are hidden, and model and decoder learn to fill them in. A folder may
hold images at any depth. The model that is left has no head; train goes on from it. All the flags
of train hold: a run that was cut short goes on when the same command is given again.

Examples:
  keras-vit pretrain --dataset=photos/ --model=ViT_S16 --output_dir=runs/pretrained
  keras-vit pretrain --dataset=photos/ --model=hf://facebook/dinov2-small --output_dir=runs/more
  keras-vit train --dataset=labelled/ --model=runs/pretrained/model.keras --output_dir=runs/tuned
"""

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands import train

section("Masking")
_MASK_RATIO = flags.DEFINE_float("mask_ratio", 0.75, "Share of the patches that are hidden.")
_DECODER_SIZE = flags.DEFINE_integer(
    "decoder_size",
    None,
    "Width of a token in the decoder; default: 512, or the model's if smaller.",
    lower_bound=4,
)
_DECODER_LAYERS = flags.DEFINE_integer(
    "decoder_layers",
    None,
    "Blocks of the decoder; default: 8, or as many as the model has if fewer.",
    lower_bound=1,
)
_DECODER = flags.DEFINE_string(
    "decoder",
    None,
    "What the decoder begins with: the decoder.keras of another run, or a checkpoint of "
    "transformers' ViTMAEForPreTraining.",
)


check = train.check


def run() -> None:
    """Loads, builds, trains and says where everything is."""
    from keras_vit.training.objectives import MaskedAutoencoder

    objective = MaskedAutoencoder(
        _MASK_RATIO.value,
        decoder_size=_DECODER_SIZE.value,
        decoder_layers=_DECODER_LAYERS.value,
        decoder=_DECODER.value,
    )
    train.train(objective, "pretrain_small")
