"""Changes that put something else into a picture: random erasing, MixUp and CutMix.

The layers of `keras.layers` and `keras_cv` were tried first. Their MixUp and CutMix draw partners
by permuting the batch they are given, so that the result would depend on the number of workers;
here neighbours in the stream are mixed. CutMix of `keras.layers` weighs labels by another area than
the one it cuts out in whole pixels. Its random erasing draws the two sides apart from each other,
not the area, and half of its noise is cut off at 0.
"""

import math

import tensorflow as tf

ERASED_AREA = (0.02, 1 / 3)
ERASED_ASPECT = (0.3, 10 / 3)


def random_erasing(image: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Fills a random rectangle of a share of images, normalised, with standard normal noise.

    Reference: "Random Erasing Data Augmentation", arXiv 1708.04896, Algorithm 1, with the noise and
    the range of areas of timm, as DeiT uses them.
    """
    height, width, channels = image.shape
    draws = tf.random.stateless_uniform([5], seed)

    def erased():
        area = height * width * (ERASED_AREA[0] + draws[1] * (ERASED_AREA[1] - ERASED_AREA[0]))
        low, high = (math.log(aspect) for aspect in ERASED_ASPECT)
        aspect = tf.exp(low + draws[2] * (high - low))
        rows = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
        columns = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
        rows, columns = tf.clip_by_value(rows, 1, height), tf.clip_by_value(columns, 1, width)
        top = tf.cast(draws[3] * tf.cast(height - rows + 1, tf.float32), tf.int32)
        left = tf.cast(draws[4] * tf.cast(width - columns + 1, tf.float32), tf.int32)
        noise = tf.random.stateless_normal(
            [rows, columns, channels], seed + tf.constant([0, 1], seed.dtype)
        )
        band = image[top : top + rows]
        band = tf.concat([band[:, :left], noise, band[:, left + columns :]], axis=1)
        return tf.concat([image[:top], band, image[top + rows :]], axis=0)

    return tf.ensure_shape(tf.cond(draws[0] < probability, erased, lambda: image), image.shape)


def mix_draws(mixup_alpha: float, cutmix_alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws what `mix_pairs` needs to know of a pair.

    Args:
        mixup_alpha: both parameters of the Beta distribution of MixUp's share; 0 for no MixUp.
        cutmix_alpha: the same of CutMix.
        seed: `(2,)` integers.

    Returns:
        float32 `(6,)`: four uniform numbers (whether, which of the two, row and column of the box)
        and the shares of MixUp and CutMix that stay.
    """
    uniform = tf.random.stateless_uniform([4], seed)
    shares = []
    for number, alpha in enumerate((mixup_alpha, cutmix_alpha), 1):
        parts = tf.random.stateless_gamma(
            [2], seed + tf.constant([0, number], seed.dtype), alpha or 1.0, dtype=tf.float64
        )  # of small alphas too small for float32
        shares.append(tf.cast(parts[0] / tf.reduce_sum(parts), tf.float32))
    return tf.concat([uniform, tf.stack(shares)], 0)


def mix_pairs(
    images: tf.Tensor,
    labels: tf.Tensor,
    draws: tf.Tensor,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes the images 0 and 1 of a batch with each other, 2 and 3, and so on.

    Args:
        images: float32 `(batch, height, width, channels)`, an even batch.
        labels: float32 `(batch, classes)`.
        draws: float32 `(batch, 6)`, from `mix_draws`; those of the first of each pair count.
        mixup_alpha: above 0 if MixUp is wanted.
        cutmix_alpha: above 0 if CutMix is wanted; with both, every pair gets one of them, each as
            often.
        probability: share of the pairs that are mixed.

    Returns:
        Images and labels of the same shapes. Each image keeps the share `w` of its label, and its
        partner's makes up the rest.

    Reference: "mixup", arXiv 1710.09412, equation 1; "CutMix", arXiv 1905.04899, section 3.1.
    """
    height, width, channels = images.shape[1:]
    acts, which, row, column, mixup_share, cutmix_share = tf.unstack(draws[::2], axis=1)
    cutmix_odds = (cutmix_alpha > 0) / ((cutmix_alpha > 0) + (mixup_alpha > 0))
    acts, cuts = acts < probability, which < cutmix_odds
    side = tf.sqrt(1 - cutmix_share)
    # Rows of numbers, not pixels of three: TensorFlow is slow to spread a weight over so few.
    across = tf.repeat(_stripe(column, side, width), channels, axis=1)
    kept = 1.0 - _stripe(row, side, height)[:, :, None] * across[:, None, :]
    cutmix_share = tf.reduce_mean(kept, axis=[1, 2])
    share = tf.where(acts, tf.where(cuts, cutmix_share, mixup_share), 1.0)
    weights = tf.where((acts & cuts)[:, None, None], kept, share[:, None, None])

    def mix(values, weights):
        first, second = tf.unstack(tf.reshape(values, [-1, 2, *values.shape[1:]]), axis=1)
        rest = 1 - weights
        mixed = [weights * first + rest * second, weights * second + rest * first]
        return tf.reshape(tf.stack(mixed, axis=1), tf.shape(values))

    rows = mix(tf.reshape(images, [-1, height, width * channels]), weights)
    labels = tf.ensure_shape(mix(labels, share[:, None]), labels.shape)
    return tf.reshape(rows, [-1, height, width, channels]), labels


def _stripe(center: tf.Tensor, side: tf.Tensor, size: int) -> tf.Tensor:
    """Returns `(pairs, size)`: 1 where the box is, in whole pixels, cut off at the border."""
    center = tf.floor(center * size)
    half = tf.floor(side * size) / 2
    places = tf.range(size, dtype=tf.float32)
    inside = (places >= (center - half)[:, None]) & (places < (center + half)[:, None])
    return tf.cast(inside, tf.float32)
