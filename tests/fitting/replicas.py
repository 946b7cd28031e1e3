"""Trains a tiny model under strategies and writes what came out; a program of its own.

    replicas.py '[[KIND, OUTPUT, CASES, TF_CONFIG], ...]'

Each job is done in a process of its own, forked before TensorFlow has run anything, all at once.
KIND is `mirrored` (without a strategy, then on two logical CPUs), `worker` (TF_CONFIG says which),
or `refused` (writes the errors of what two replicas cannot do, and what they drop, as JSON). CASES
are keys of CASES.
"""

import contextlib
import json
import os
import signal
import sys
import traceback

import keras
import numpy as np
import tensorflow as tf

from keras_vit import layers
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer

CONFIG = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=16, num_layers=1,
                                 num_heads=2, mlp_dim=32, num_classes=3)  # fmt: skip
BATCH, STEPS = 8, 5

# optimizer: class and arguments; compile: more arguments of compile; fit: batch, weights, dtype.
CASES = {
    "sgd": {"optimizer": ["SGD", {"learning_rate": 0.1, "momentum": 0.9}]},
    "sgd_clipped": {
        "optimizer": ["SGD", {"learning_rate": 0.1, "momentum": 0.9, "global_clipnorm": 0.1}],
    },
    "sgd_clipped_accumulated": {
        "optimizer": ["SGD", {"learning_rate": 0.1, "momentum": 0.9, "global_clipnorm": 0.1}],
        "compile": {"accumulation_steps": 4},
    },
    "adamw": {
        "optimizer": ["AdamW", {"learning_rate": 1e-3, "weight_decay": 0.1}],
    },
    "adamw_everything": {
        "optimizer": ["AdamW", {"learning_rate": 1e-3, "weight_decay": 0.1,
                                "global_clipnorm": 0.1, "use_ema": True, "ema_momentum": 0.5}],
        "compile": {"accumulation_steps": 4,
                    "learning_rate_scales": {"patch_encoder": 0.1, "encoder_block_0": 0.5}},
        "weights": True,
    },
    "sharpness": {
        "optimizer": ["SGD", {"learning_rate": 0.1, "momentum": 0.9}],
        "compile": {"sharpness_radius": 0.05},
    },
    "clipnorm": {"optimizer": ["SGD", {"learning_rate": 0.1, "clipnorm": 0.01}]},
    "clipvalue": {"optimizer": ["SGD", {"learning_rate": 0.1, "clipvalue": 0.001}]},
    "weighted_mean": {
        "optimizer": ["SGD", {"learning_rate": 0.1}],
        "reduction": "mean_with_sample_weight",
        "weights": True,
    },
    "sum": {"optimizer": ["SGD", {"learning_rate": 0.01}], "reduction": "sum",
            "compile": {"accumulation_steps": 2}},
    "small_last_batch": {"optimizer": ["SGD", {"learning_rate": 0.1}], "examples": 33},
    "small_last_batch_accumulated": {
        "optimizer": ["SGD", {"learning_rate": 0.1}], "examples": 33,
        "compile": {"accumulation_steps": 4},
    },
    "float16": {
        "optimizer": ["SGD", {"learning_rate": 0.1, "global_clipnorm": 0.1}],
        "dtype": "mixed_float16", "compile": {"accumulation_steps": 2},
    },
    "bfloat16": {"optimizer": ["SGD", {"learning_rate": 0.1}], "dtype": "mixed_bfloat16"},
}  # fmt: skip


def data(case):
    """A finite data set with a validation part."""
    rng = np.random.default_rng(0)
    examples = case.get("examples", BATCH * STEPS)
    images = rng.normal(size=(examples, 8, 8, 3)).astype("float32")
    labels = np.eye(3, dtype="float32")[rng.integers(0, 3, examples)]
    parts = [images, labels]
    if case.get("weights"):
        parts.append(rng.uniform(0.2, 2.0, examples).astype("float32"))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.from_tensor_slices(tuple(parts)).with_options(options)
    return dataset.batch(BATCH, drop_remainder="examples" not in case)


def _without_key_bias(variable):
    """Its gradient is rounding alone, of which Adam makes whole steps; no output depends on it."""
    value = variable.numpy()
    if not variable.path.endswith("qkv/bias"):
        return value
    query, _, values = np.split(value, 3)
    return np.concatenate([query, values])


def train(case):
    """Trains and returns the weights, the averages and the history, by name."""
    keras.utils.set_random_seed(0)
    model = VisionTransformer(CONFIG, classifier_activation=None, dtype=case.get("dtype"))
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            (0.2 * rng.normal(size=weight.shape)).astype(weight.dtype)
            for weight in model.get_weights()
        ]
    )
    name, arguments = case["optimizer"]
    model.compile(
        getattr(keras.optimizers, name)(**arguments),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=case.get("reduction", "sum_over_batch_size")
        ),
        metrics=["accuracy"],
        weighted_metrics=[keras.metrics.CategoricalCrossentropy(from_logits=True, name="nats")],
        **case.get("compile", {}),
    )
    validation = data({**case, "examples": 11})
    history = model.fit(data(case), epochs=1, validation_data=validation, verbose=0).history
    arrays = {f"weight {v.path}": _without_key_bias(v) for v in model.trainable_variables}
    state = model.optimizer.variables
    arrays |= {f"optimizer {index} {v.name}": v.numpy() for index, v in enumerate(state)}
    arrays |= {f"history {name}": np.array(values) for name, values in history.items()}
    return arrays


def two_replicas():
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def dropped(strategy):
    """Returns what each replica drops of the same ones, in two calls, by layer."""
    results = {}
    for name, rate in (("Dropout", 0.5), ("DropPath", 0.5)):
        with strategy.scope():
            layer = getattr(layers, name)(rate, seed=3)

        @tf.function
        def call(layer=layer):
            return strategy.run(lambda: layer(tf.ones((32, 2)), training=True))

        calls = [strategy.experimental_local_results(call()) for _ in range(2)]
        results[name] = [[output.numpy().tolist() for output in outputs] for outputs in calls]
    return results


def refusals(strategy):
    """Returns the message of each mistake, by name."""
    outside, optimizer = VisionTransformer(CONFIG), keras.optimizers.SGD()
    with strategy.scope():
        model = VisionTransformer(CONFIG)
        inside = keras.optimizers.SGD(gradient_accumulation_steps=4)
    mistakes = {
        "optimizer outside": lambda: model.compile(optimizer, "mse"),
        "optimizer accumulates": lambda: model.compile(inside, "mse"),
        "several steps": lambda: model.compile("sgd", "mse", steps_per_execution=2),
        "xla": lambda: model.compile("sgd", "mse", jit_compile=True),
        "no reduction": lambda: model.compile(
            "sgd", keras.losses.MeanSquaredError(reduction="none")
        ),
        "model outside": lambda: outside.compile("sgd", "mse"),
    }
    messages = {}
    for name, mistake in mistakes.items():
        try:
            with strategy.scope() if name == "model outside" else contextlib.nullcontext():
                mistake()
            messages[name] = None
        except ValueError as error:
            messages[name] = str(error)
    return messages


def work(kind, output, cases):
    # Graphs that run five times are not worth improving.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    results = {}
    if kind == "refused":
        strategy = two_replicas()
        with open(output, "w", encoding="utf-8") as file:
            json.dump({"messages": refusals(strategy), "dropped": dropped(strategy)}, file)
        return
    if kind == "mirrored":
        strategies = {"one": tf.distribute.get_strategy(), "mirrored": two_replicas()}
    else:
        strategies = {"workers": tf.distribute.MultiWorkerMirroredStrategy()}
    for name, strategy in strategies.items():
        for case in cases:
            with strategy.scope():
                arrays = train(CASES[case])
            results |= {f"{name}|{case}|{key}": value for key, value in arrays.items()}
            print(name, case, flush=True)
    is_chief = json.loads(os.environ["TF_CONFIG"]).get("task", {}).get("index", 0) == 0
    if is_chief:
        np.savez(output, **results)


def start(kind, output, cases, cluster):
    """Returns the process that does a job."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.environ["TF_CONFIG"] = json.dumps(cluster)
        work(kind, output, cases)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main(jobs):
    pids = [start(*job) for job in json.loads(jobs)]
    while pids:
        pid, status = os.wait()
        pids.remove(pid)
        if status:
            for other in pids:
                os.kill(other, signal.SIGKILL)
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
