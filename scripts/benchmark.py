"""Measures speed and memory of a model, its peers and the machine's limit beside it.

    benchmark.py --model=ViT_B16 --dtype=float32,bfloat16 --output=benchmarks/b16.json

    benchmark.py --pipeline --output=benchmarks/pipeline.json

    benchmark.py --exported --model=ViT_B16
    benchmark.py --exported --model=runs/digits/model.keras --dataset=digits

With --exported it writes every form that `export` knows, compares each with the model and times
each in its own runtime, side by side; what is not installed is left out. With --pipeline it
measures the training pipeline alone on real photos, beside that of Keras.

Peers (keras-hub, timm) are measured when they are installed: pip install "keras-vit[peers]".
"""

from absl import app, flags

from keras_vit.command_line import command

FLAGS = flags.FLAGS
flags.DEFINE_string("model", "ViT_B16", "Name of a variant, or with --exported a `.keras` file.")
flags.DEFINE_list("dtype", ["float32"], "One or more of float32, bfloat16, float16.")
flags.DEFINE_integer("batch_size", 8, "Images a batch.", lower_bound=1)
flags.DEFINE_integer("repeats", 5, "Timed runs of each kind, after a warm-up.", lower_bound=1)
flags.DEFINE_bool("train", True, "Whether training steps are measured too.")
flags.DEFINE_list("peers", None, "Peers to measure beside it; by default those installed.")
flags.DEFINE_bool("imports", True, "Whether start-up is measured too.")
flags.DEFINE_bool("exported", False, "Whether exported forms are measured, and nothing else.")
flags.DEFINE_string(
    "dataset", None, "With --exported: images to compare on; default: cuts of two photographs."
)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its files; default: its own.")
flags.DEFINE_integer(
    "images", 400, "With --exported: images to compare on, at most.", lower_bound=1
)
flags.DEFINE_bool("loading", False, "Whether loading a checkpoint of the model is measured too.")
flags.DEFINE_bool(
    "pipeline", False, "Whether the input pipeline is measured, in batches of 32, and nothing else."
)
flags.DEFINE_string("output", None, "JSON file for the figures.")


def exported():
    """Compares and times the exported forms of one model, and prints the table."""
    from keras_vit import benchmark
    from keras_vit.benchmark.subjects import load_subject_model
    from keras_vit.export.litert_file import MAX_REPRESENTATIVE
    from keras_vit.files import write_json
    from keras_vit.interpret.samples import from_dataset

    model, labels = load_subject_model(FLAGS.model), None
    if FLAGS.dataset:
        options = {"data_dir": FLAGS.data_dir}
        samples = from_dataset(model, FLAGS.dataset, count=FLAGS.images, **options)
        options |= {"count": MAX_REPRESENTATIVE, "split": "train"}
        images, labels = samples.images, samples.labels
        representative = from_dataset(model, FLAGS.dataset, **options).images
    else:
        images = benchmark.sample_pictures(model, FLAGS.images)
        count = min(MAX_REPRESENTATIVE, max(FLAGS.images, FLAGS.batch_size))
        representative = benchmark.sample_pictures(model, count, seed=1)
    del model
    result = benchmark.measure_exported(
        FLAGS.model,
        images,
        labels=labels,
        representative=representative,
        batch_size=FLAGS.batch_size,
        repeats=FLAGS.repeats,
    )
    print(benchmark.format_exported_table(result))
    if FLAGS.output:
        write_json(FLAGS.output, result)
        print(f"figures: {FLAGS.output}")


def pipeline():
    """Times the training pipeline, and prints the table."""
    from keras_vit.benchmark.pipeline import format_pipeline, measure_pipeline
    from keras_vit.files import write_json

    given = {"batch_size": FLAGS.batch_size} if FLAGS["batch_size"].present else {}
    result = measure_pipeline(repeats=FLAGS.repeats, **given)
    print(format_pipeline(result))
    if FLAGS.output:
        write_json(FLAGS.output, result)
        print(f"figures: {FLAGS.output}")


def run():
    """Measures, prints the tables and writes the figures."""
    from keras_vit import benchmark
    from keras_vit.files import write_json

    if FLAGS.exported:
        return exported()
    if FLAGS.pipeline:
        return pipeline()
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
    loading = benchmark.measure_loading(FLAGS.model) if FLAGS.loading else None
    if loading:
        print(benchmark.format_loading(loading))
    if FLAGS.output:
        write_json(FLAGS.output, {"results": results, "import_s": imports, "loading": loading})
        print(f"figures: {FLAGS.output}")


main = command(run)

if __name__ == "__main__":
    app.run(main)
