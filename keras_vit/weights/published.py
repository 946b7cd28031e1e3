"""The table of published checkpoints: where each lies, and what none of its arrays tells.

Addresses and accuracies of Google's files are those of the README and the notebook of
google-research/vision_transformer; those of timm's come from its model table and its
`results-imagenet.csv`. Accuracies hold for the preprocessing of the same row. Checksums of these
files are not published.
"""

from keras_vit.models.variants import VARIANTS
from keras_vit.weights.published_encoders import encoders
from keras_vit.weights.published_row import (
    Checkpoint,
    crop,
    huggingface_row,
    squash,
    timm_row,
)

_GOOGLE = "https://storage.googleapis.com/vit_models"


def _google(model, name, file, size, classes=1000, top1=None, **fields) -> Checkpoint:
    address = f"{_GOOGLE}/{file}.npz"
    return Checkpoint(model, name, address, "google", classes, squash(size), top1=top1, **fields)


def _originals() -> list[Checkpoint]:
    """The checkpoints of the first paper (arXiv 2010.11929), as Google lists its bucket."""
    rows = []
    for model, file in (
        ("ViT_B8", "ViT-B_8"), ("ViT_B16", "ViT-B_16"), ("ViT_B32", "ViT-B_32"),
        ("ViT_L16", "ViT-L_16"), ("ViT_L32", "ViT-L_32"), ("ViT_H14", "ViT-H_14"),
        ("R50_B16", "R50+ViT-B_16"), ("R50_L32", "R50+ViT-L_32"),
    ):  # fmt: skip
        rows.append(_google(model, "imagenet21k", f"imagenet21k/{file}", 224, 21843))
        if file in ("ViT-H_14", "R50+ViT-L_32"):
            continue  # never released fine-tuned
        size = 224 if file == "ViT-B_8" else 384
        tuned = f"imagenet21k+imagenet2012/{file}"
        # The others have a better one among the AugReg checkpoints.
        best = model in ("ViT_L32", "R50_B16")
        rows.append(_google(model, "imagenet21k+imagenet2012", tuned, size, recommended=best))
        if file in ("ViT-B_16", "ViT-L_16"):
            rows.append(_google(model, "imagenet21k+imagenet2012-224", f"{tuned}-224", 224))
    return rows


# "How to train your ViT?" (arXiv 2106.10270). Google's README recommends, by validation accuracy
# upstream, one pre-trained file a model (first line) and its best fine-tuning at 384 px (second;
# then its accuracy); the third line is the file that timm takes at 224 px.
_AUGREG = {
    "ViT_Ti16": (
        "Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 78.22,
        "Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0", "0.03",
    ),
    "ViT_S32": (
        "S_32-i21k-300ep-lr_0.001-aug_none-wd_0.1-do_0.0-sd_0.0", "0.01", 79.58,
        "S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03",
    ),
    "ViT_S16": (
        "S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03", 83.73,
        "S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03",
    ),
    "ViT_B32": (
        "B_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 83.59,
        "B_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.03-do_0.0-sd_0.0", "0.03",
    ),
    "ViT_B16": (
        "B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.03", 85.49,
        "B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.01",
    ),
    "ViT_L16": (
        "L_16-i21k-300ep-lr_0.001-aug_strong1-wd_0.1-do_0.0-sd_0.0", "0.01", 85.59,
        "L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01",
    ),
    "R_Ti16": (
        "R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 75.40,
        "R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0", "0.03",
    ),
    "R26_S32": (
        "R26_S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 83.85,
        "R26_S_32-i21k-300ep-lr_0.001-aug_light0-wd_0.03-do_0.1-sd_0.1", "0.03",
    ),
    "R50_L32": (
        "R50_L_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01", 85.99,
        "R50_L_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01",
    ),
}  # fmt: skip


def _augreg() -> list[Checkpoint]:
    rows = []
    for model, (best, rate, top1, small, small_rate) in _AUGREG.items():
        tuned = "{}--imagenet2012-steps_20k-lr_{}-res_{}"
        at_384 = f"augreg/{tuned.format(best, rate, 384)}"
        at_224 = f"augreg/{tuned.format(small, small_rate, 224)}"
        name = "augreg-imagenet21k+imagenet2012"
        rows += [
            _google(model, "augreg-imagenet21k", f"augreg/{best}", 224, 21843),
            _google(model, f"{name}-384", at_384, 384, top1=top1, recommended=True),
            _google(model, f"{name}-224", at_224, 224),
        ]
    eight = "B_8-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0"
    tuned = f"augreg/{eight}--imagenet2012-steps_20k-lr_0.01-res_224"
    rows.append(_google("ViT_B8", "augreg-imagenet21k", f"augreg/{eight}", 224, 21843))
    rows.append(
        _google("ViT_B8", "augreg-imagenet21k+imagenet2012-224", tuned, 224, recommended=True)
    )
    return rows


def _sam() -> list[Checkpoint]:
    """Trained on ImageNet alone with sharpness-aware minimisation (arXiv 2106.01548)."""
    return [
        _google(f"ViT_{size}", "sam-imagenet", f"sam/ViT-{file}", 224)
        for size, file in (
            ("S16", "S_16"), ("B16", "B_16"), ("B32", "B_32"), ("L16", "L_16"), ("L32", "L_32"),
        )
    ]  # fmt: skip


def _timm_augreg() -> list[Checkpoint]:
    """AugReg in timm's form and run as timm runs it: erf GELU, bicubic, centre crop."""
    rows = []
    for model, repository, at_224, at_384 in (
        ("ViT_Ti16", "vit_tiny_patch16", 75.452, 78.438),
        ("ViT_S32", "vit_small_patch32", 76.010, 80.476),
        ("ViT_S16", "vit_small_patch16", 81.402, 83.814),
        ("ViT_B32", "vit_base_patch32", 80.732, 83.358),
        ("ViT_B16", "vit_base_patch16", 84.534, 86.010),
        ("ViT_B8", "vit_base_patch8", 85.838, None),
        ("ViT_L16", "vit_large_patch16", 85.856, 87.096),
        ("R_Ti16", "vit_tiny_r_s16_p8", 71.800, 75.962),
        ("R26_S32", "vit_small_r26_s32", 81.856, 84.066),
        ("R50_L32", "vit_large_r50_s32", 84.434, 86.188),
    ):
        name, tag = "timm-augreg-imagenet21k+imagenet2012", "augreg_in21k_ft_in1k"
        for size, fraction, top1 in ((224, 0.9, at_224), (384, 1.0, at_384)):
            if top1 is not None:
                place = f"{repository}_{size}.{tag}"
                rows.append(
                    timm_row(model, f"{name}-{size}", place, crop(size, fraction), top1=top1)
                )
    for model, repository, top1 in (
        ("ViT_B16", "vit_base_patch16_224.augreg2_in21k_ft_in1k", 85.108),
        ("ViT_B8", "vit_base_patch8_224.augreg2_in21k_ft_in1k", 86.252),
    ):
        name = "timm-augreg2-imagenet21k+imagenet2012-224"
        rows.append(timm_row(model, name, repository, crop(224, 0.9), top1=top1))
    return rows


def _deit() -> list[Checkpoint]:
    """DeiT (arXiv 2012.12877) and DeiT-III (arXiv 2204.07118) by Facebook, in timm's form."""
    rows = []
    distilled_note = "for distilled=True"
    for model, size, plain, distilled in (
        ("DeiT_Ti16", "tiny", 72.190, 74.538),
        ("DeiT_S16", "small", 79.856, 81.204),
        ("DeiT_B16", "base", 81.980, 83.384),
    ):
        at_224 = crop(224, 0.9, "imagenet")
        rows += [
            timm_row(model, "imagenet2012", f"deit_{size}_patch16_224.fb_in1k", at_224, top1=plain,
                     recommended=True),
            timm_row(model, "distilled-imagenet2012", f"deit_{size}_distilled_patch16_224.fb_in1k",
                  at_224, top1=distilled, note=distilled_note),
        ]  # fmt: skip
    at_384 = crop(384, 1.0, "imagenet")
    rows += [
        timm_row("DeiT_B16", "imagenet2012-384", "deit_base_patch16_384.fb_in1k", at_384,
                 top1=83.108),
        timm_row("DeiT_B16", "distilled-imagenet2012-384",
                 "deit_base_distilled_patch16_384.fb_in1k", at_384, top1=85.438,
                 note=distilled_note),
    ]  # fmt: skip
    for model, place, small, small_21k, large, large_21k in (
        ("DeiT3_S16", "small_patch16", 81.382, 83.082, 83.432, 84.846),
        ("DeiT3_B16", "base_patch16", 83.800, 85.728, 85.088, 86.742),
        ("DeiT3_L16", "large_patch16", 84.772, 86.990, 85.820, 87.736),
        ("DeiT3_H14", "huge_patch14", 85.204, 87.180, None, None),
    ):
        for size, fraction, tag, name, top1 in (
            (224, 0.9, "fb_in1k", "imagenet2012-224", small),
            (384, 1.0, "fb_in1k", "imagenet2012-384", large),
            (224, 1.0, "fb_in22k_ft_in1k", "imagenet22k+imagenet2012-224", small_21k),
            (384, 1.0, "fb_in22k_ft_in1k", "imagenet22k+imagenet2012-384", large_21k),
        ):
            if top1 is None:
                continue
            best = top1 == max(t for t in (small, small_21k, large, large_21k) if t)
            repository = f"deit3_{place}_{size}.{tag}"
            rows.append(
                timm_row(model, name, repository, crop(size, fraction, "imagenet"), top1=top1,
                      recommended=best)
            )  # fmt: skip
    return rows


def _huggingface_vit() -> list[Checkpoint]:
    """The first paper's B/16 in the form of transformers: erf GELU, epsilon 1e-12."""
    name = "hf-imagenet21k"
    base = "google/vit-base-patch16"
    return [
        huggingface_row("ViT_B16", name, f"{base}-224-in21k", squash(224)),
        huggingface_row("ViT_B16", f"{name}+imagenet2012-224", f"{base}-224", squash(224), 1000),
        huggingface_row("ViT_B16", f"{name}+imagenet2012-384", f"{base}-384", squash(384), 1000),
    ]


def _rotary_and_flexible() -> list[Checkpoint]:
    """RoPE-ViT (arXiv 2403.13298) by naver and FlexiViT (arXiv 2212.08013), in timm's form."""
    rows = []
    for letter, size in (("S", "small"), ("B", "base"), ("L", "large")):
        model, place = f"ViT_{letter}16", f"vit_{size}_patch16"
        rows += [
            timm_row(model, f"{kind.replace('_', '-')}-imagenet2012",
                     f"{place}_{kind}_224.naver_in1k", crop(224, 0.9, "imagenet"))
            for kind in ("rope", "rope_ape", "rope_mixed", "rope_mixed_ape")
        ]  # fmt: skip
        flexible = f"flexivit_{size}.1200ep_in1k"
        rows.append(timm_row(model, "flexivit-imagenet2012-240", flexible, crop(240, 0.95)))
    return rows


def _better_baselines() -> list[Checkpoint]:
    """What timm searched for: pre-trained on 11,821 classes of ImageNet-22k, then fine-tuned."""
    rows = []
    for model, place, tag, larger, fraction in (
        ("Little16", "little_patch16_reg1", "sbb_in12k", False, 0.95),
        ("Medium16", "medium_patch16_reg4", "sbb_in12k", False, 0.95),
        ("MediumD16", "mediumd_patch16_reg4", "sbb2_e200_in12k", True, 0.95),
        ("Betwixt16", "betwixt_patch16_reg4", "sbb2_e200_in12k", True, 0.95),
        ("SO150M16", "so150m_patch16_reg4", "sbb_e250_in12k", True, 0.95),
        ("SO150M2_16", "so150m2_patch16_reg1", "sbb_e200_in12k", True, 1.0),
    ):
        for size in (256, 384)[: 1 + larger]:
            repository = f"vit_{place}_gap_{size}.{tag}_ft_in1k"
            prepared = crop(size, fraction if size == 256 else 1.0)
            best = size == (384 if larger else 256)
            name = f"imagenet12k+imagenet2012-{size}"
            rows.append(timm_row(f"SBB_{model}", name, repository, prepared, recommended=best))
    return rows


CHECKPOINTS: tuple[Checkpoint, ...] = tuple(
    sorted(
        (
            *_originals(), *_augreg(), *_sam(), *_timm_augreg(), *_huggingface_vit(), *_deit(),
            *_rotary_and_flexible(), *_better_baselines(), *encoders(),
        ),
        key=lambda row: list(VARIANTS).index(row.model),
    )
)  # fmt: skip
