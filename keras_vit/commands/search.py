"""Finds images in a folder that look like others, and images that are there twice.

Features are kept on the disk by file and model, so that a second search looks at new files alone.

Examples:
  keras-vit search --model=hf://facebook/dinov2-small --images=photos --query=ant.jpg
  keras-vit search --model=runs/digits/model.keras --images=photos --threshold=0.99
"""

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import check_model_file, image_size_flag, text_flag
from keras_vit.models.poolings import POOLINGS

section("What is searched")
_MODEL = text_flag("model")
_IMAGES = flags.DEFINE_multi_string(
    "images", None, "An image file, a pattern, or a folder of images; may be repeated."
)
_QUERY = flags.DEFINE_multi_string(
    "query",
    [],
    "What is looked for: an image file, a pattern or a folder; may be repeated, and more may stand "
    "behind all flags. Without any, near-duplicates alone are listed.",
)

section("How")
_COUNT = flags.DEFINE_integer("count", 8, "Images shown for each query.", lower_bound=1)
_THRESHOLD = flags.DEFINE_float(
    "threshold", 0.97, "Least cosine similarity of near-duplicates.", lower_bound=0.0
)
_POOLING = flags.DEFINE_enum(
    "pooling",
    None,
    [name for name, row in POOLINGS.items() if not row.keeps_all],
    "How tokens become one vector; default: the model's own way.",
)
_IMAGE_SIZE = image_size_flag()
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images at a time.", lower_bound=1)

section("Output")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder that keeps features; default: ~/.keras/keras_vit/features."
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for search.html and search.json.")
flags.mark_flags_as_required(["model", "images", "output_dir"])


def check(arguments: list[str]) -> None:
    """Refuses what is not there."""
    from keras_vit.interpret.samples import find_images

    check_model_file(_MODEL.value)
    find_images(_IMAGES.value)
    find_images([*_QUERY.value, *arguments])


def run(arguments: list[str]) -> None:
    """Looks at all images, searches, and says where the page is."""
    from keras_vit.applications.model_files import display_name, load_model
    from keras_vit.data.pass_progress import PassProgress
    from keras_vit.evaluation import index_images
    from keras_vit.interpret.samples import find_images
    from keras_vit.interpret.search_page import write_search

    model = load_model(_MODEL.value, _IMAGE_SIZE.value)
    name = display_name(model, _MODEL.value)
    told = {"pooling": _POOLING.value, "cache": _CACHE_DIR.value, "batch_size": _BATCH_SIZE.value}
    paths = find_images(_IMAGES.value)
    print(f"Looking at {len(paths):,} images with {name}", flush=True)
    shown = PassProgress(len(paths))
    index = index_images(model, paths, progress=shown.reach, **told)
    shown.end()
    queries = index_images(model, find_images([*_QUERY.value, *arguments]), **told)
    for reason in (index.unreadable | queries.unreadable).values():
        print(f"  left out: {reason}")
    facts = [("Model", name), ("Pooling", _POOLING.value or model.config.pooling)]
    found = write_search(
        index, queries, _OUTPUT_DIR.value, count=_COUNT.value, threshold=_THRESHOLD.value,
        title=f"Search with {name}", facts=facts,
    )  # fmt: skip
    for query in found["queries"]:
        print(query["file"])
        for match in query["nearest"]:
            print(f"  {match['similarity']:.3f}  {match['file']}")
    print(f"{len(found['near_duplicates']):,} images have near-duplicates")
    print(f"  search    {_OUTPUT_DIR.value}/search.html")
