"""Measures speed and memory of a model and its peers, or makes one of the studies of a checkout.

Without a mode it times inference and training of one model beside its peers, which are measured
when they are installed: pip install "keras-vit[peers]". --suite takes forty minutes for ViT-B/16.

Examples:
  keras-vit benchmark --model=ViT_B16 --dtype=float32,bfloat16 --output=b16.json
  keras-vit benchmark --suite --output=benchmarks/suite_cpu.json --plot=docs/suite.png
  keras-vit benchmark --merging --model=digits/model.keras --dataset=digits --plot=merging.png
  KERAS_BACKEND=jax keras-vit benchmark --gpu --output=benchmarks/gpu.json
"""

from __future__ import annotations

import os

from absl import flags

from keras_vit.checks import check_choice
from keras_vit.command_line import load_libraries, section
from keras_vit.commands import benchmark
from keras_vit.commands.sources import check_model_file
from keras_vit.files import read_json
from keras_vit.weights.files.suffixes import KERAS

NEEDS_KERAS = False
FLAGS = flags.FLAGS
section("Studies, one at a time")
flags.DEFINE_bool(
    "suite",
    False,
    "Everything that is promised about speed, beside all peers, with targets and what falls short.",
)
flags.DEFINE_bool(
    "profile",
    False,
    "Where the time of one model goes, operation by operation; training too with --train.",
)
flags.DEFINE_bool(
    "growth", False, "Time and memory against tokens, batch, depth, width and size of the model."
)
flags.DEFINE_bool(
    "scaling", False, "Replicas and workers on this machine, and on paper on larger ones."
)
flags.DEFINE_bool(
    "merging", False, "Speed, and for a trained model (--dataset) accuracy, against merged tokens."
)
flags.DEFINE_bool(
    "exported", False, "Every form that `export` knows: how well it agrees and how fast it is."
)
flags.DEFINE_bool(
    "pipeline", False, "The training pipeline alone, on real photos, beside that of Keras."
)
flags.DEFINE_bool("loading", False, "Loading a checkpoint, beside reading its arrays.")
flags.DEFINE_bool(
    "few_weights",
    False,
    "Frozen parts, adapters and quantised kernels of a variant; of a `.keras` file (--dataset), "
    "what it says with its kernels quantised.",
)
flags.DEFINE_bool("gpu", False, "One GPU: ours on JAX beside timm (set KERAS_BACKEND=jax).")

section("For some of them")
flags.DEFINE_list(
    "sections",
    None,
    "With --suite: what of it to measure; the rest is taken from --output, if it is there.",
)
flags.DEFINE_list("counts", None, "With --merging: tokens merged in each block.")
flags.DEFINE_string(
    "dataset",
    None,
    "Images to compare on with --exported (default: cuts of two photographs), --few_weights and "
    "--merging (default: none). --model is then a `.keras` file.",
)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its files; default: its own.")
flags.DEFINE_integer("images", 400, "With --dataset: images to compare on, at most.", lower_bound=1)
flags.DEFINE_string("plot", None, "PNG file for a drawing, with --suite, --growth and --merging.")


def given_batch_size():
    """Returns the batch size as an argument if it was given, else nothing."""
    return {"batch_size": FLAGS.batch_size} if FLAGS["batch_size"].present else {}


def suite():
    """Measures everything that is promised."""
    from benchmarks import suite, suite_plot, targets

    earlier, sections = None, tuple(FLAGS.sections or suite.SECTIONS)
    if FLAGS.sections and FLAGS.output and os.path.exists(FLAGS.output):
        earlier = read_json(FLAGS.output)
    result = suite.measure_suite(
        FLAGS.model,
        sections=sections,
        repeats=FLAGS.repeats,
        peers=FLAGS.peers,
        progress=benchmark.say,
        earlier=earlier,
    )
    return result, targets.format_suite(result), suite_plot.plot_suite


def profile():
    """Shows where the time goes."""
    from benchmarks.profile import format_profile, measure_profile

    results = [
        measure_profile(
            FLAGS.model,
            command=command,
            dtype=dtype,
            batch_size=FLAGS.batch_size,
            repeats=FLAGS.repeats,
        )
        for command in (("infer", "train") if FLAGS.train else ("infer",))
        for dtype in FLAGS.dtype
    ]
    return {"results": results}, "\n\n".join(map(format_profile, results)), None


def growth():
    """Measures time and memory against size."""
    from benchmarks import growth, growth_plot

    result = growth.measure_growth(repeats=FLAGS.repeats, progress=benchmark.say)
    return result, growth.format_growth(result), growth_plot.plot_growth


def scaling():
    """Measures replicas and workers."""
    from benchmarks import scaling

    result = scaling.measure_scaling(repeats=FLAGS.repeats, progress=benchmark.say)
    return result, scaling.format_scaling(result), None


def merging():
    """Measures speed and accuracy against merged tokens."""
    from benchmarks import merging
    from benchmarks.subjects import load_subject_model
    from keras_vit.interpret.samples import from_dataset

    options = {"counts": [int(count) for count in FLAGS.counts]} if FLAGS.counts else {}
    if FLAGS.dataset:
        model = load_subject_model(FLAGS.model)
        samples = from_dataset(model, FLAGS.dataset, count=FLAGS.images, data_dir=FLAGS.data_dir)
        options |= {"images": samples.images, "labels": samples.labels}
    result = merging.measure_merging(
        FLAGS.model, batch_size=FLAGS.batch_size, repeats=FLAGS.repeats, **options
    )
    return result, merging.format_merging(result), merging.plot_merging


def exported():
    """Compares and times the exported forms of one model."""
    from benchmarks.export_forms import format_exported, measure_exported
    from benchmarks.photos import sample_pictures
    from benchmarks.subjects import load_subject_model
    from keras_vit.export.forms.litert_file import MAX_REPRESENTATIVE
    from keras_vit.interpret.samples import from_dataset

    model, labels = load_subject_model(FLAGS.model), None
    if FLAGS.dataset:
        options = {"data_dir": FLAGS.data_dir}
        samples = from_dataset(model, FLAGS.dataset, count=FLAGS.images, **options)
        options |= {"count": MAX_REPRESENTATIVE, "split": "train"}
        images, labels = samples.images, samples.labels
        representative = from_dataset(model, FLAGS.dataset, **options).images
    else:
        images = sample_pictures(model, FLAGS.images)
        count = min(MAX_REPRESENTATIVE, max(FLAGS.images, FLAGS.batch_size))
        representative = sample_pictures(model, count, seed=1)
    del model
    result = measure_exported(
        FLAGS.model,
        images,
        labels=labels,
        representative=representative,
        batch_size=FLAGS.batch_size,
        repeats=FLAGS.repeats,
    )
    return result, format_exported(result), None


def pipeline():
    """Times the training pipeline."""
    from benchmarks.pipeline import format_pipeline, measure_pipeline

    result = measure_pipeline(repeats=FLAGS.repeats, **given_batch_size())
    return result, format_pipeline(result), None


def loading():
    """Times loading a checkpoint."""
    from benchmarks.checkpoint_loading import format_loading, measure_loading

    result = measure_loading(FLAGS.model, repeats=FLAGS.repeats)
    return result, format_loading(result), None


def few_weights():
    """Measures less training and smaller kernels."""
    from benchmarks import few_weights as study

    if FLAGS.model.endswith(KERAS):
        from benchmarks.subjects import load_subject_model
        from keras_vit.interpret.samples import from_dataset

        options = {"count": FLAGS.images, "data_dir": FLAGS.data_dir}
        samples = from_dataset(load_subject_model(FLAGS.model), FLAGS.dataset, **options)
        rows = study.measure_agreement(FLAGS.model, samples.images, samples.labels)
        return {"rows": rows}, study.format_rows(rows), None
    options = {"repeats": FLAGS.repeats, **given_batch_size()}
    result = {
        "training": study.measure_training(FLAGS.model, **options),
        "quantized": study.measure_quantized(FLAGS.model, **options),
    }
    tables = [study.format_rows(part["rows"]) for part in result.values()]
    return result, "\n\n".join(tables), None


def gpu():
    """Measures one GPU; the figures so far are kept while it goes on."""
    from benchmarks.gpu import measure_gpu
    from benchmarks.gpu_report import format_gpu
    from keras_vit.files import write_json

    rows = []

    def keep(row):
        rows.append(row)
        benchmark.say(f"{len(rows)} measured")
        if FLAGS.output:
            write_json(FLAGS.output, {"rows": rows})

    options = {"models": [FLAGS.model]} if FLAGS["model"].present else {}
    options |= {"batch_sizes": FLAGS.batch_size} if FLAGS["batch_size"].present else {}
    options |= {"tasks": ("infer", "train") if FLAGS.train else ("infer",), "peers": FLAGS.peers}
    result = measure_gpu(repeats=FLAGS.repeats, on_row=keep, **options)
    return result, format_gpu(result), None


MODES = {
    mode.__name__: mode
    for mode in (
        suite,
        profile,
        growth,
        scaling,
        merging,
        exported,
        pipeline,
        loading,
        few_weights,
        gpu,
    )
}
"""What each of these flags measures: figures for JSON, their text, and what draws them or None."""

DRAWN = ("suite", "growth", "merging")
OF_A_FILE = ("exported", "merging", "few_weights")  # take a `.keras` file as --model
IN_PROCESSES = ("loading", "gpu")  # each with the backend that it needs


def chosen_mode() -> str | None:
    """Returns the study that was asked for, or None for one race."""
    chosen = [mode for mode in MODES if FLAGS[mode].value]
    if len(chosen) > 1:
        raise ValueError(f"Expected one mode at a time. Received: {', '.join(chosen)}.")
    return chosen[0] if chosen else None


def check() -> None:
    """Refuses flags that do not go together, and unknown names."""
    mode = chosen_mode()
    if FLAGS.sections:
        from benchmarks.suite import SECTIONS

        for name in FLAGS.sections:
            check_choice("--sections", name, SECTIONS)
    if FLAGS.plot and mode not in DRAWN:
        raise ValueError(
            f"Expected --plot with --suite, --growth or --merging. Received: {mode or 'no mode'}."
        )
    if mode in OF_A_FILE and FLAGS.model.endswith(KERAS):
        check_model_file(FLAGS.model)
    else:
        benchmark.check()


def run() -> None:
    """Measures, prints the tables, and writes figures and drawing."""
    mode = chosen_mode()
    if mode is None:
        benchmark.run()
        return
    if mode not in IN_PROCESSES:
        load_libraries()
    result, text, plot = MODES[mode]()
    benchmark.show(result, text)
    if FLAGS.plot:
        plot(result, FLAGS.plot)
        print(f"drawing: {FLAGS.plot}")
