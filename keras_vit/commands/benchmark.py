"""Measures speed and memory of a model, its peers and the machine's limit beside it.

Each is timed in a process of its own, all in turn. Peers are measured when they are installed:
pip install "keras-vit[peers]".

Examples:
  keras-vit benchmark --model=ViT_B16 --dtype=float32,bfloat16 --output=b16.json
  keras-vit benchmark --model=ViT_S16 --batch_size=1 --notrain --peers=timm,keras_hub
"""

from typing import Any

from absl import flags

from keras_vit.command_line import section

NEEDS_KERAS = False
FLAGS = flags.FLAGS
section("What is measured")
flags.DEFINE_string("model", "ViT_B16", "Name of a variant.")
flags.DEFINE_list(
    "dtype", ["float32"], "One or more of float32, bfloat16, float16; `auto`: what is faster here."
)
flags.DEFINE_integer("batch_size", 8, "Images a batch.", lower_bound=1)
flags.DEFINE_integer(
    "image_size", None, "Height and width in pixels; default: the model's own.", lower_bound=1
)
flags.DEFINE_integer("repeats", 5, "Timed runs of each kind, after a warm-up.", lower_bound=1)
flags.DEFINE_bool("train", True, "Whether training steps are measured too.")
flags.DEFINE_list("peers", None, "Peers to measure beside it; default: those installed.")
flags.DEFINE_bool("imports", True, "Whether start-up is measured too.")

section("Output")
flags.DEFINE_string("output", None, "JSON file for the figures.")


DTYPES = ("float32", "bfloat16", "float16", "auto")


def check() -> None:
    """Refuses unknown models, types and peers."""
    from keras_vit.benchmark.peers import SUBJECTS
    from keras_vit.checks import check_choice
    from keras_vit.models.variants import get_variant

    get_variant(FLAGS.model)
    for dtype in FLAGS.dtype:
        check_choice("--dtype", dtype, DTYPES)
    for peer in FLAGS.peers or []:
        check_choice("--peers", peer, tuple(SUBJECTS))


def say(line: str) -> None:
    """Shows what is being measured now."""
    print(f"... {line}", flush=True)


def measure() -> tuple[dict[str, Any], str]:
    """Times one model, and its start-up if asked; returns the figures and their table."""
    from keras_vit import benchmark

    results, texts = [], []
    for dtype in FLAGS.dtype:
        if dtype == "auto":
            from keras_vit.models.variants import get_variant
            from keras_vit.training import choose_dtype

            choice = choose_dtype(get_variant(FLAGS.model), train=FLAGS.train)
            dtype = choice.dtype.removeprefix("mixed_")
            texts.append(f"chosen: {dtype}, {choice.why}\n")
        say(f"{FLAGS.model} {dtype}")
        result = benchmark.measure(
            FLAGS.model,
            dtype=dtype,
            batch_size=FLAGS.batch_size,
            image_size=FLAGS.image_size,
            repeats=FLAGS.repeats,
            train=FLAGS.train,
            peers=FLAGS.peers,
        )
        results.append(result)
        texts.append(benchmark.format_table(result) + "\n")
    imports = None
    if FLAGS.imports:
        imports = benchmark.measure_imports()
        extra = imports["keras_vit"] - imports["tensorflow"]
        texts.append(
            f"import tensorflow {imports['tensorflow']:.2f} s, keras_vit {extra:+.2f} s more"
        )
    return {"results": results, "import_s": imports}, "\n".join(texts)


def show(result: dict[str, Any], text: str) -> None:
    """Prints a table and writes its figures."""
    from keras_vit.files import write_json

    print(text, flush=True)
    if FLAGS.output:
        write_json(FLAGS.output, result)
        print(f"figures: {FLAGS.output}")


def run() -> None:
    """Measures, prints the tables and writes the figures."""
    show(*measure())
