"""Published encoders without labels, and those of images beside text; a part of the table.

What is said of timm's files is what timm 1.0.31 says of them.
"""

from __future__ import annotations

from keras_vit.images.spec import Preprocessing
from keras_vit.weights.published_row import (
    Checkpoint,
    crop,
    huggingface_row,
    squash,
    timm_row,
)

_NON_COMMERCIAL, _DINOV3 = "CC-BY-NC-4.0", "DINOv3 License"
_QUICK_CLIP = {"gelu": "quick", "num_classes": 0, "pooling": "token"}
_UNPROJECTED = "without the projection, which timm stores as a head"
_PICKLED = "published as a pickle alone, to be converted first"


def _dinov2() -> list[Checkpoint]:
    """DINOv2 (arXiv 2304.07193), with registers (arXiv 2309.16588); 518 px, any size will do."""
    rows = []
    for letter, size in (("S", "small"), ("B", "base"), ("L", "large"), ("g", "giant")):
        model, registers = f"DINOv2_{letter}14", "for registers=4"
        published = crop(518, 1.0, "imagenet")
        rows += [
            huggingface_row(model, "lvd142m", f"facebook/dinov2-{size}", published),
            huggingface_row(model, "registers-lvd142m", f"facebook/dinov2-with-registers-{size}",
                            published, note=registers),
            timm_row(model, "timm-lvd142m", f"vit_{size}_patch14_dinov2.lvd142m", published,
                     classes=0),
            timm_row(model, "timm-registers-lvd142m", f"vit_{size}_patch14_reg4_dinov2.lvd142m",
                     published, classes=0, note=registers),
        ]  # fmt: skip
    return rows


def _towers() -> list[Checkpoint]:
    """The image sides of SigLIP (arXiv 2303.15343) and CLIP (arXiv 2103.00020)."""
    rows = []
    for model, place, sizes in (
        ("SigLIP_B16", "base-patch16", (224, 256, 384, 512)),
        ("SigLIP_L16", "large-patch16", (256, 384)),
        ("SigLIP_So400m14", "so400m-patch14", (224, 384)),
    ):
        for size in sizes:
            repository = f"google/siglip-{place}-{size}"
            rows.append(
                huggingface_row(model, f"webli-{size}", repository, squash(size, "bicubic"))
            )
    clip = crop(224, 1.0, "clip")
    for model, place, laion in (
        ("CLIP_B32", "base_patch32", "B-32-laion2B-s34B-b79K"),
        ("CLIP_B16", "base_patch16", "B-16-laion2B-s34B-b88K"),
    ):
        repository = f"vit_{place}_clip_224.openai"
        rows += [
            timm_row(model, "openai", repository, clip, classes=0, config=_QUICK_CLIP,
                     note=_UNPROJECTED, licence="MIT"),
            huggingface_row(model, "laion2b", f"laion/CLIP-ViT-{laion}", clip, licence="MIT"),
        ]  # fmt: skip
    for name, repository, size in (
        ("openai", "openai/clip-vit-large-patch14", 224),
        ("openai-336", "openai/clip-vit-large-patch14-336", 336),
    ):
        rows.append(
            huggingface_row("CLIP_L14", name, repository, crop(size, 1.0, "clip"), licence="MIT")
        )
    return rows


def _metaclip_and_dfn() -> list[Checkpoint]:
    """MetaCLIP (arXiv 2309.16671) and DFN (arXiv 2309.17425), in timm's form."""
    rows = [
        timm_row(model, f"metaclip-{data.replace('pt', '.')}",
                 f"vit_{place}_clip_224.metaclip_{data}", crop(224, 1.0, "clip"), classes=0,
                 config=_QUICK_CLIP, licence=_NON_COMMERCIAL, note=_UNPROJECTED)
        for model, place in (
            ("CLIP_B32", "base_patch32"), ("CLIP_B16", "base_patch16"),
            ("CLIP_L14", "large_patch14"),
        )
        for data in ("400m", "2pt5b")
    ]  # fmt: skip
    return rows + [
        timm_row(model, name, f"vit_{place}_clip_224.{name.replace('-', '_')}",
                 crop(224, 1.0, "clip"), classes=0, config={**_QUICK_CLIP, "gelu": gelu},
                 licence="Apple ASCL", note=_UNPROJECTED)
        for model, place, name, gelu in (
            ("CLIP_B16", "base_patch16", "dfn2b", "erf"),
            ("CLIP_L14", "large_patch14", "dfn2b", "quick"),
            ("CLIP_L14", "large_patch14", "dfn2b-s39b", "erf"),
        )
    ]  # fmt: skip


def _unlabelled() -> list[Checkpoint]:
    """MAE (arXiv 2111.06377), DINO (2104.14294), MSN (2204.07141), I-JEPA (2301.08243), TIPS 2."""
    small = crop(224, 0.9, "imagenet")
    rows = [
        timm_row(model, "mae", f"vit_{place}_224.mae", small, classes=0, licence=_NON_COMMERCIAL)
        for model, place in (
            ("ViT_B16", "base_patch16"), ("ViT_L16", "large_patch16"), ("ViT_H14", "huge_patch14"),
        )
    ]  # fmt: skip
    rows += [
        timm_row(f"ViT_{letter}{patch}", "dino", f"vit_{size}_patch{patch}_224.dino", small,
                 classes=0)
        for letter, size in (("S", "small"), ("B", "base"))
        for patch in (8, 16)
    ]  # fmt: skip
    rows += [
        huggingface_row(f"ViT_{letter}16", "msn", f"facebook/vit-msn-{size}",
                        squash(224, "bilinear", "imagenet"), note=_PICKLED)
        for letter, size in (("S", "small"), ("B", "base"), ("L", "large"))
    ]  # fmt: skip
    rows += [
        huggingface_row("ViT_H14", f"ijepa-imagenet{data}", f"facebook/ijepa_vith14_{data}", small,
                        licence=_NON_COMMERCIAL, note="without a class token")
        for data in ("1k", "22k")
    ]  # fmt: skip
    tips = Preprocessing((448, 448), "bicubic", "crop", mean=(0.0,) * 3, std=(1.0,) * 3)
    rows += [
        timm_row(f"DINOv2_{letter}14", "tips2-webli", f"vit_{size}_patch14_reg1_tipsv2.webli", tips,
                 classes=0, note="for registers=1")
        for letter, size in (("B", "base"), ("L", "large"), ("g", "giant"))
    ]  # fmt: skip
    return rows


def _dinov3() -> list[Checkpoint]:
    """DINOv3 (arXiv 2508.10104); its authors' files ask for consent to their licence first."""
    rows = []
    satellite = {"mean": (0.43, 0.411, 0.296), "std": (0.213, 0.156, 0.143)}
    for model, place, size in (
        ("DINOv3_S16", "vits16", "small"), ("DINOv3_S16plus", "vits16plus", "small_plus"),
        ("DINOv3_B16", "vitb16", "base"), ("DINOv3_L16", "vitl16", "large"),
        ("DINOv3_H16plus", "vith16plus", "huge_plus"), ("DINOv3_7B16", "vit7b16", "7b"),
    ):  # fmt: skip
        for data in ("lvd1689m", "sat493m")[: 1 + (size in ("large", "7b"))]:
            changes = satellite if data == "sat493m" else {}
            own = squash(224, "bilinear", "imagenet").replace(**changes)
            theirs = crop(256, 1.0, "imagenet").replace(**changes)
            rows += [
                huggingface_row(model, data, f"facebook/dinov3-{place}-pretrain-{data}", own,
                                licence=_DINOV3),
                timm_row(model, f"timm-{data}", f"vit_{size}_patch16_dinov3.{data}", theirs,
                         classes=0, licence=_DINOV3),
            ]  # fmt: skip
    return rows


def _eva02() -> list[Checkpoint]:
    """EVA-02 (arXiv 2303.11331): pre-trained alone, and fine-tuned."""
    rows = []
    for letter, size, data in (
        ("Ti", "tiny", "in22k"), ("S", "small", "in22k"), ("B", "base", "in22k"),
        ("L", "large", "m38m"),
    ):  # fmt: skip
        model, place = f"EVA02_{letter}14", f"eva02_{size}_patch14"
        alone, tuned = f"mim-{data}", "imagenet22k+imagenet2012"
        rows.append(
            timm_row(model, alone, f"{place}_224.mim_{data}", crop(224, 0.9, "clip"), classes=0,
                     licence="MIT")
        )  # fmt: skip
        if letter in ("Ti", "S"):
            rows.append(
                timm_row(model, "imagenet2012-336", f"{place}_336.mim_{data}_ft_in1k",
                         crop(336, 1.0, "clip"), licence="MIT", recommended=True)
            )  # fmt: skip
            continue
        rows.append(
            timm_row(model, f"{tuned}-448", f"{place}_448.mim_{data}_ft_in22k_in1k",
                     squash(448, "bicubic", "clip"), licence="MIT", recommended=True)
        )  # fmt: skip
    return rows


def _beit() -> list[Checkpoint]:
    """BEiT (arXiv 2106.08254) and BEiT v2 (arXiv 2208.06366), fine-tuned, in timm's form."""
    rows = []
    for letter, size, sizes, fraction in (
        ("B", "base", (224, 384), 0.9), ("L", "large", (224, 384, 512), 0.95),
    ):  # fmt: skip
        model, tuned = f"BEiT_{letter}16", "imagenet22k+imagenet2012"
        second = f"beitv2_{size}_patch16_224.in1k_ft_in22k_in1k"
        rows += [
            timm_row(model, f"beit-{tuned}-{side}",
                     f"beit_{size}_patch16_{side}.in22k_ft_in22k_in1k",
                     crop(side, 0.9 if side == 224 else 1.0))
            for side in sizes
        ]  # fmt: skip
        rows.append(
            timm_row(model, f"beit2-{tuned}-224", second, crop(224, fraction, "imagenet"),
                     recommended=True)
        )  # fmt: skip
    return rows


def _siglip2_and_perception() -> list[Checkpoint]:
    """SigLIP 2 (arXiv 2502.14786) and Perception Encoder (arXiv 2504.13181), in timm's form."""
    rows = [
        timm_row(f"SigLIP2_{model}", f"webli-{size}", f"vit_{place}_siglip_{size}.v2_webli",
                 crop(size, 0.9), classes=0)
        for model, place, sizes in (
            ("B32", "base_patch32", (256,)), ("B16", "base_patch16", (224, 256, 384, 512)),
            ("L16", "large_patch16", (256, 384, 512)), ("So400m14", "so400m_patch14", (224, 378)),
            ("So400m16", "so400m_patch16", (256, 384, 512)),
            ("g16", "giantopt_patch16", (256, 384)),
        )
        for size in sizes
    ]  # fmt: skip
    rows += [
        timm_row(f"PE_Core_{model}", "fb", f"vit_pe_core_{place}_{size}.fb", crop(size, 1.0),
                 classes=0, config={"num_classes": 0}, note=_UNPROJECTED)
        for model, place, size in (
            ("Ti16", "tiny_patch16", 384), ("S16", "small_patch16", 384),
            ("B16", "base_patch16", 224), ("L14", "large_patch14", 336),
            ("G14", "gigantic_patch14", 448),
        )
    ]  # fmt: skip
    return rows


def encoders() -> list[Checkpoint]:
    """Returns all of them."""
    return [
        *_dinov2(), *_towers(), *_metaclip_and_dfn(), *_unlabelled(), *_dinov3(), *_eva02(),
        *_beit(), *_siglip2_and_perception(),
    ]  # fmt: skip
