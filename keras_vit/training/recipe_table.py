"""The recipes by name, each with its source."""

import dataclasses

from keras_vit.checks import check_name
from keras_vit.data.augmentation import Augmentation
from keras_vit.training.recipes import Recipe

# What DeiT does to images; the last recipe of DeiT III does the same.
_DEIT = Augmentation(
    crop_min_area=0.08,
    horizontal_flip=True,
    rand_augment_ops=2,
    rand_augment_magnitude=9.0,
    rand_augment_magnitude_std=0.5,
    rand_augment_probability=0.5,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
)

RECIPES: dict[str, Recipe] = {
    # Ours, for the `digits` model from scratch; chosen on folds of the training split. Its results
    # stand in docs/training.md. Mirrored digits are no digits, so there is no flip.
    "digits": Recipe(
        epochs=120,
        batch_size=32,
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        augmentation=Augmentation(translation=0.1, rotation=10.0, zoom=0.1),
    ),
    # Ours, for a small model on a small folder of photos, from scratch: AdamW, crops and flips as
    # in "Training data-efficient image transformers" (arXiv 2012.12877), Table 9, on a small scale.
    "scratch_small": Recipe(
        epochs=60,
        batch_size=64,
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        augmentation=Augmentation(crop_min_area=0.3, horizontal_flip=True),
    ),
    # Ours, for pretrained weights on a small folder: the paper's fine-tuning (Table 4) with a batch
    # that a laptop holds, and as many steps as it gives the smallest data sets.
    "finetune_small": Recipe(
        steps=500,
        batch_size=32,
        optimizer="sgd",
        learning_rate=3e-3,
        warmup=0.1,
        augmentation=Augmentation(crop_min_area=0.5, horizontal_flip=True),
    ),
    # "An Image is Worth 16x16 Words" (arXiv 2010.11929), Table 4, row ImageNet at its middle rate:
    # SGD with momentum 0.9, batch 512, cosine, no weight decay, clip at norm 1. The 500 steps of
    # warm-up and the 8 parts of a batch are those of the released code.
    "paper_finetune": Recipe(
        steps=20_000,
        batch_size=512,
        optimizer="sgd",
        learning_rate=0.03,
        warmup=500,
        image_size=384,
        accumulation_steps=8,
        augmentation=Augmentation(crop_min_area=0.05, horizontal_flip=True),
    ),
    # The same paper, Table 3, row ImageNet: Adam with decoupled decay 0.3, batch 4096, 10,000 steps
    # of warm-up, cosine, dropout 0.1, 300 epochs at 224 px, clip at norm 1.
    "paper_pretrain": Recipe(
        epochs=300,
        batch_size=4096,
        learning_rate=3e-3,
        warmup=10_000,
        weight_decay=0.3,
        dropout_rate=0.1,
        image_size=224,
        augmentation=Augmentation(crop_min_area=0.05, horizontal_flip=True),
    ),
    # "How to train your ViT?" (arXiv 2106.10270): fine-tuning as its released configuration has it.
    # It cuts 384 px at random out of 448, which is 73 % of the area; ours varies the shape too.
    # Data sets larger than a few thousand images want more steps.
    "augreg_finetune": Recipe(
        steps=500,
        batch_size=512,
        optimizer="sgd",
        learning_rate=0.03,
        warmup=100,
        dropout_rate=0.0,
        image_size=384,
        accumulation_steps=8,
        augmentation=Augmentation(crop_min_area=(384 / 448) ** 2, horizontal_flip=True),
    ),
    # "Training data-efficient image transformers" (arXiv 2012.12877), Table 9: batch 1024, AdamW at
    # 0.0005 * 1024 / 512 with decay 0.05, 5 of 300 epochs of warm-up, no clipping. RandAugment acts
    # on half of its operations, and the rate ends at 1e-5, as in the released code.
    "deit": Recipe(
        epochs=300,
        batch_size=1024,
        learning_rate=1e-3,
        end_learning_rate=1e-5,
        warmup=5 / 300,
        weight_decay=0.05,
        clip_norm=None,
        label_smoothing=0.1,
        dropout_rate=0.0,
        drop_path_rate=0.1,
        image_size=224,
        augmentation=dataclasses.replace(_DEIT, random_erasing=0.25, repeats=3),
    ),
    # "DeiT III: Revenge of the ViT" (arXiv 2204.07118): ImageNet-1k, ViT-B, 800 epochs at 192 px,
    # with the released command's decay (0.05) and drop path (0.2). The next recipe follows it.
    "deit3": Recipe(
        epochs=800,
        batch_size=2048,
        optimizer="lamb",
        learning_rate=3e-3,
        end_learning_rate=1e-5,
        warmup=5 / 800,
        weight_decay=0.05,
        loss="sigmoid",
        dropout_rate=0.0,
        drop_path_rate=0.2,
        image_size=192,
        augmentation=Augmentation(
            crop_min_area=0.08,
            horizontal_flip=True,
            three_augment=True,
            color_jitter=0.3,
            mixup_alpha=0.8,
            cutmix_alpha=1.0,
            repeats=3,
        ),
    ),
    # The same paper: the 20 epochs at 224 px that follow.
    "deit3_finetune": Recipe(
        epochs=20,
        batch_size=512,
        learning_rate=1e-5,
        end_learning_rate=1e-6,
        warmup=5 / 20,
        weight_decay=0.1,
        label_smoothing=0.1,
        dropout_rate=0.0,
        drop_path_rate=0.2,
        image_size=224,
        augmentation=_DEIT,
    ),
    # "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377), Table 8, 800 epochs:
    # AdamW(0.9, 0.95) at 1.5e-4 * 4096 / 256 with decay 0.05, 40 epochs of warm-up, crops and flips
    # alone. For `keras-vit pretrain`.
    "mae": Recipe(
        epochs=800,
        batch_size=4096,
        learning_rate=2.4e-3,
        warmup=40 / 800,
        beta_2=0.95,
        weight_decay=0.05,
        clip_norm=None,
        image_size=224,
        augmentation=Augmentation(crop_min_area=0.2, horizontal_flip=True),
    ),
    # Ours: the same on a small folder, with a batch that a laptop holds.
    "pretrain_small": Recipe(
        epochs=200,
        batch_size=64,
        learning_rate=1e-3,
        warmup=0.1,
        beta_2=0.95,
        weight_decay=0.05,
        augmentation=Augmentation(crop_min_area=0.2, horizontal_flip=True),
    ),
}
RECIPES |= {f"{name}_smoke": recipe.smoke() for name, recipe in RECIPES.items()}


def get_recipe(name: str) -> Recipe:
    """Returns a recipe.

    Args:
        name: a key of `RECIPES`.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones.
    """
    check_name("the name of a recipe", name, RECIPES)
    return RECIPES[name]
