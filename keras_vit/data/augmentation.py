"""How training images are changed at random, as data; `augment` carries it out."""

import dataclasses

from keras_vit.checks import check_int, check_number


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a training image is changed at random; the defaults change nothing.

    The changes follow each other in the order of the fields.

    Attributes:
        crop_min_area: a crop takes at least this share of the image's area, in (0, 1], at an aspect
            ratio of 3:4 to 4:3, and is resized to the model's size; 1 for no crop ("Going Deeper
            with Convolutions", arXiv 1409.4842, section 6).
        horizontal_flip: whether half of the images are mirrored. Not for digits or letters.
        translation: largest shift in either direction, as a share of the side, in [0, 1).
        rotation: largest turn in either direction, in degrees, in [0, 180].
        zoom: largest change of size, as a share, in [0, 1).
        three_augment: whether each image is made grey, solarised or blurred ("DeiT III", arXiv
            2204.07118, section 3.2).
        rand_augment_ops: operations of RandAugment an image; 0 for none ("RandAugment", arXiv
            1909.13719). DeiT (arXiv 2012.12877, Table 9) uses 2.
        rand_augment_magnitude: their strength, in [0, 20]; the paper's scale ends at 10, and
            "How to train your ViT?" (arXiv 2106.10270, section 3.2) goes to 20.
        rand_augment_magnitude_std: standard deviation of the strength, drawn for each operation, at
            least 0; DeiT's code has 0.5.
        rand_augment_probability: share of the operations that act, in [0, 1]; 1 in the paper, 0.5
            in DeiT's code.
        color_jitter: brightness, contrast and saturation are each multiplied by up to one more or
            less than this, at least 0 (AlexNet's successors; "DeiT III", Table 1, has 0.3).
        layers: any of `keras.layers` and `keras_cv.layers` by name, with arguments, commas between
            them: `"GridMask, AugMix(severity=0.2)"`; labels are mixed where a layer mixes them.
        random_erasing: share of images in which a rectangle becomes noise, in [0, 1] ("Random
            Erasing Data Augmentation", arXiv 1708.04896).
        mixup_alpha: of the Beta distribution by which pairs of images and their labels are blended;
            0 for never ("mixup", arXiv 1710.09412).
        cutmix_alpha: of the Beta distribution of the area that pairs of images exchange; 0 for
            never ("CutMix", arXiv 1905.04899). With both, every pair gets one of them.
        mix_probability: share of the pairs that MixUp or CutMix acts on, in [0, 1].
        repeats: how often an image is in a batch, each time with changes of its own, at least 1;
            a pass over the images takes that many times as many steps ("Augment your batch", arXiv
            1901.09335; "MultiGrain", arXiv 1902.05509, section 3.1). DeiT uses 3.

    What comes into the picture from outside is black; with RandAugment, grey.
    """

    crop_min_area: float = 1.0
    horizontal_flip: bool = False
    translation: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    three_augment: bool = False
    rand_augment_ops: int = 0
    rand_augment_magnitude: float = 9.0
    rand_augment_magnitude_std: float = 0.0
    rand_augment_probability: float = 1.0
    color_jitter: float = 0.0
    layers: str = ""
    random_erasing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_probability: float = 1.0
    repeats: int = 1

    def __post_init__(self):
        for interval, fields in _INTERVALS.items():
            for field in fields:
                check_number(field, getattr(self, field), interval)
        check_int("rand_augment_ops", self.rand_augment_ops, 0)
        check_int("repeats", self.repeats, 1)

    @property
    def recolours(self) -> bool:
        """Whether anything changes the colours of an image by itself."""
        return bool(self.three_augment or self.rand_augment_ops or self.color_jitter)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in pairs, so that labels become soft."""
        return bool(self.mix_probability and (self.mixup_alpha or self.cutmix_alpha))


_INTERVALS = {
    "(0, 1]": ("crop_min_area",),
    "[0, 1)": ("translation", "zoom"),
    "[0, 1]": ("rand_augment_probability", "random_erasing", "mix_probability"),
    "[0, 20]": ("rand_augment_magnitude",),
    "[0, 180]": ("rotation",),
    "[0, inf)": ("color_jitter", "rand_augment_magnitude_std", "mixup_alpha", "cutmix_alpha"),
}
