"""Random changes of colour, tone and shape: RandAugment, 3-Augment and colour jitter.

`keras.layers` and `keras_cv` have layers of these names, and were tried first. Their RandAugment
cannot be repeated from a seed an image and runs all its operations on every image; their layers
take one range when they are made, while here every image has a magnitude of its own; and their
brightness is added where the papers multiply it. What needs no magnitude is theirs (equalising,
stretching the contrast); the rest is a line or two each, on their scale of 0 to 255.

An image is float32 `(height, width, channels)`, 0 to 255, of known sizes; a seed `(2,)` integers.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

GREY = 128.0
"""What comes into the picture from outside when RandAugment moves it, as in the code of AugReg."""
SOLARIZE_ABOVE = 128.0
BLUR_SIGMA = (0.1, 2.0)

_EXACT = {"dtype": "float32"}  # whatever the program's dtype policy is


def blend(image: tf.Tensor, other: tf.Tensor | float, factor: tf.Tensor) -> tf.Tensor:
    """Moves an image away from another one, or towards it, and clips it to 0 to 255.

    A factor of 1 leaves the image, 0 gives the other, above 1 goes further away.
    """
    return tf.clip_by_value(other + factor * (image - other), 0.0, 255.0)


def grey(image: tf.Tensor) -> tf.Tensor:
    """Returns the luminance `(height, width, 1)` of an image, as ITU-R BT.601 weighs colours."""
    return image if image.shape[-1] == 1 else tf.image.rgb_to_grayscale(image)


def mean_grey(image: tf.Tensor) -> tf.Tensor:
    """Returns the mean luminance, a scalar."""
    return tf.reduce_mean(grey(image))


def color_jitter(image: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation, in this order.

    Each factor is drawn from `[1 - strength, 1 + strength]`, at least 0.
    """
    factors = tf.random.stateless_uniform([3], seed, max(0.0, 1 - strength), 1 + strength)
    image = blend(image, 0.0, factors[0])
    image = blend(image, mean_grey(image), factors[1])
    return image if image.shape[-1] == 1 else blend(image, grey(image), factors[2])


def three_augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Makes an image grey, solarised or blurred, each as often.

    Reference: "DeiT III: Revenge of the ViT", arXiv 2204.07118, section 3.2 and Figure 3.
    """
    draws = tf.random.stateless_uniform([2], seed)
    sigma = BLUR_SIGMA[0] + draws[1] * (BLUR_SIGMA[1] - BLUR_SIGMA[0])
    changes = [
        lambda: tf.broadcast_to(grey(image), tf.shape(image)),
        lambda: solarize(image, tf.constant(SOLARIZE_ABOVE)),
        lambda: gaussian_blur(image, sigma),
    ]
    changed = tf.switch_case(tf.cast(draws[0] * len(changes), tf.int32), changes)
    return tf.ensure_shape(changed, image.shape)


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the values from a threshold on, a scalar on the same scale."""
    return tf.where(image < threshold, image, 255.0 - image)


def gaussian_blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blurs by a Gaussian of `sigma` pixels, its weights renormalised at the borders."""
    # The layer of Keras blurs the two directions by different amounts and in one product of all.
    height, width, channels = image.shape

    def weights(size):
        places = tf.range(size, dtype=tf.float32)
        return tf.nn.softmax(-0.5 * tf.square((places[:, None] - places) / sigma))

    rows = tf.matmul(weights(height), tf.reshape(image, [height, width * channels]))
    rows = tf.transpose(tf.reshape(rows, [height, width, channels]), [0, 2, 1])
    rows = tf.reshape(rows, [height * channels, width])
    columns = tf.matmul(rows, weights(width), transpose_b=True)
    return tf.transpose(tf.reshape(columns, [height, channels, width]), [0, 2, 1])


def smooth(image: tf.Tensor) -> tf.Tensor:
    """Means of 3 x 3 pixels, the middle one five times; the border stays, as in Pillow's SMOOTH."""
    channels = image.shape[-1]
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[..., None, None], [1, 1, channels, 1])
    inner = tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "VALID")[0]
    sides = [[1, 1], [1, 1], [0, 0]]
    return tf.where(tf.pad(tf.ones_like(inner), sides) > 0, tf.pad(inner, sides), image)


def move(image: tf.Tensor, matrix: list) -> tf.Tensor:
    """Moves the pixels of an image by an affine map, bilinear, grey from outside.

    Of a matrix of six scalars `a, b, c, d, e, f` what stands at `(x, y)` comes from
    `(a x + b y + c, d x + e y + f)`, in pixels from the middle of the image.
    """
    a, b, c, d, e, f = (tf.cast(value, tf.float32) for value in matrix)
    height, width = image.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y, 0, 0])[None],
        output_shape=[height, width],
        fill_value=GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]


def operations(image: tf.Tensor, level: tf.Tensor, sign: tf.Tensor) -> dict[str, Callable]:
    """Returns the operations of RandAugment on an image.

    The level is the magnitude divided by 10, the sign, 1 or -1, the direction where there are two.

    Returns:
        Functions of no arguments by name. A higher level is a stronger change for all of them.
    """
    height, width = image.shape[:2]
    factor = tf.maximum(1 + sign * 0.9 * level, 0.1)
    shear, angle = sign * 0.3 * level, sign * level * (30 * 3.14159265 / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    step = 2.0 ** (8 - tf.maximum(4 - tf.floor(4 * level), 1))  # at least one bit is kept

    def solarize_add():
        brighter = tf.minimum(image + tf.minimum(110 * level, 128), 255.0)
        return tf.where(image < SOLARIZE_ABOVE, brighter, image)

    return {
        "auto_contrast": lambda: keras.layers.AutoContrast(**_EXACT).transform_images(image[None])[
            0
        ],
        "equalize": lambda: keras.layers.Equalization(**_EXACT).transform_images(image, None),
        "invert": lambda: 255.0 - image,
        "rotate": lambda: move(image, [cosine, -sine, 0, sine, cosine, 0]),
        "posterize": lambda: tf.floor(image / step) * step,
        "solarize": lambda: solarize(image, 256 - tf.minimum(256 * level, 256)),
        "solarize_add": solarize_add,
        "color": lambda: blend(image, grey(image), factor),
        "contrast": lambda: blend(image, mean_grey(image), factor),
        "brightness": lambda: blend(image, 0.0, factor),
        "sharpness": lambda: blend(image, smooth(image), factor),
        "shear_x": lambda: move(image, [1, shear, 0, 0, 1, 0]),
        "shear_y": lambda: move(image, [1, 0, 0, shear, 1, 0]),
        "translate_x": lambda: move(image, [1, 0, sign * 0.45 * level * width, 0, 1, 0]),
        "translate_y": lambda: move(image, [1, 0, 0, 0, 1, sign * 0.45 * level * height]),
    }


def rand_augment(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    num_ops: int,
    magnitude: float,
    magnitude_std: float = 0.0,
    probability: float = 1.0,
) -> tf.Tensor:
    """Applies operations drawn at random, one after the other.

    Args:
        image: float32 `(height, width, channels)`, 0 to 255, sizes known.
        seed: `(2,)` integers.
        num_ops: how many operations.
        magnitude: their strength, 0 to 20.
        magnitude_std: standard deviation of the strength, drawn for each operation.
        probability: share of the drawn operations that act.

    Reference: "RandAugment", arXiv 1909.13719; the operations, and what a magnitude means for each,
    are those of timm's `rand-inc1`, with which DeiT was trained.
    """
    draws = tf.random.stateless_uniform([num_ops, 3], seed)
    levels = tf.fill([num_ops], float(magnitude))
    if magnitude_std:
        spread = tf.random.stateless_normal([num_ops], seed + tf.constant([0, 1], seed.dtype))
        levels = tf.clip_by_value(levels + magnitude_std * spread, 0.0, max(10.0, magnitude))
    for which, level in zip(tf.unstack(draws), tf.unstack(levels), strict=True):
        sign = tf.where(which[1] < 0.5, 1.0, -1.0)
        changes = list(operations(image, level / 10, sign).values())
        same = image
        chosen = tf.cast(which[0] * len(changes), tf.int32)
        chosen = tf.where(which[2] < probability, chosen, len(changes))
        changed = tf.switch_case(chosen, [*changes, lambda same=same: same])
        image = tf.ensure_shape(changed, image.shape)
    return image
