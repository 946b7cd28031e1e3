"""Runs a SavedModel with TensorFlow alone: `python run_saved_model.py VERSION_FOLDER WORK_FOLDER`.

Reads `images.npy` and `0.image`, `1.image`, ... in the work folder and writes `outputs.npz`. A
program of its own, started by agreement.py: any import of Keras or keras_vit fails here.
"""

import pathlib
import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, whose neighbours need Keras
    sys.modules["keras"] = sys.modules["keras_vit"] = None

    import numpy as np
    import tensorflow as tf

    folder, work = sys.argv[1:]
    work = pathlib.Path(work)
    signatures = tf.saved_model.load(folder).signatures
    images = tf.constant(np.load(work / "images.npy", allow_pickle=False))
    outputs = {}
    for name in ("serving_default", "embed"):
        outputs.update(signatures[name](images=images))
        signatures[name](images=images[:0])
    if "classify_bytes" in signatures and (work / "0.image").exists():
        count = len(list(work.glob("*.image")))
        encoded = [(work / f"{index}.image").read_bytes() for index in range(count)]
        outputs.update(signatures["classify_bytes"](image_bytes=tf.constant(encoded)))
        outputs["labels"] = tf.constant(0)  # text stays here
    np.savez(work / "outputs.npz", **{name: value.numpy() for name, value in outputs.items()})
