"""Measures speed and memory of a model, its peers and the machine's limit beside it.

    benchmark.py --model=ViT_B16 --dtype=float32,bfloat16 --output=benchmarks/b16.json

Peers (keras-hub, timm) are measured when they are installed: pip install "keras-vit[peers]".
"""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("model", "ViT_B16", "Name of a variant.")
flags.DEFINE_list("dtype", ["float32"], "One or more of float32, bfloat16, float16.")
flags.DEFINE_integer("batch_size", 8, "Images a batch.", lower_bound=1)
flags.DEFINE_integer("repeats", 5, "Timed runs of each kind, after a warm-up.", lower_bound=1)
flags.DEFINE_bool("train", True, "Whether training steps are measured too.")
flags.DEFINE_list("peers", None, "Peers to measure beside it; by default those installed.")
flags.DEFINE_bool("imports", True, "Whether start-up is measured too.")
flags.DEFINE_string("output", None, "JSON file for the figures.")


def main(argv):
    """Measures, prints the tables and writes the figures."""
    del argv
    from keras_vit import benchmark

    results = []
    for dtype in FLAGS.dtype:
        result = benchmark.measure(
            FLAGS.model,
            dtype=dtype,
            batch_size=FLAGS.batch_size,
            repeats=FLAGS.repeats,
            train=FLAGS.train,
            peers=FLAGS.peers,
        )
        results.append(result)
        print(benchmark.format_table(result) + "\n", flush=True)
    imports = None
    if FLAGS.imports:
        imports = benchmark.measure_imports()
        extra = imports["keras_vit"] - imports["tensorflow"]
        print(f"import tensorflow {imports['tensorflow']:.2f} s, keras_vit {extra:+.2f} s more")
    if FLAGS.output:
        benchmark.write_json({"results": results, "import_s": imports}, FLAGS.output)
        print(f"figures: {FLAGS.output}")


if __name__ == "__main__":
    app.run(main)
