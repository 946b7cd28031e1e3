"""Lists the published weights, or writes their table into a page.

Examples:
  keras-vit weights --model=ViT_B16
  keras-vit weights --table=docs/weights.md
"""

from pathlib import Path

from absl import flags

NEEDS_KERAS = False
_MODEL = flags.DEFINE_string("model", None, "List the weights of this variant alone.")
_TABLE = flags.DEFINE_string(
    "table", None, "A Markdown file with the lines `<!-- table -->` and `<!-- end of table -->`."
)
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->"


def check() -> None:
    """Refuses an unknown model."""
    from keras_vit.weights.lookup import list_weights

    list_weights(_MODEL.value)


def run() -> None:
    """Prints names and addresses, or writes the table."""
    from keras_vit.files import replacing
    from keras_vit.tables import align
    from keras_vit.weights.lookup import find_checkpoint, list_weights, markdown_table

    if _TABLE.value:
        text = Path(_TABLE.value).read_text(encoding="utf-8")
        if text.count(_BEGIN) != 1 or text.count(_END) != 1:
            raise ValueError(f"Expected one '{_BEGIN.strip()}' and one '{_END}' in the file.")
        text = text.split(_BEGIN)[0] + _BEGIN + markdown_table() + _END + text.split(_END)[1]
        with replacing(_TABLE.value) as partial:
            partial.write_text(text, encoding="utf-8")
        return
    names = {_MODEL.value: list_weights(_MODEL.value)} if _MODEL.value else list_weights()
    rows = [
        (model, name, find_checkpoint(model, name).address)
        for model, weights in names.items()
        for name in weights
    ]
    print("\n".join(align(rows, left=3)))
