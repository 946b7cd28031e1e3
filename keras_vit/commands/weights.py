"""Lists the published weights, or writes their table into a README.

Examples:
  weights.py --model=ViT_B16
  weights.py --readme=README.md
"""

from __future__ import annotations

from pathlib import Path

from absl import app, flags

from keras_vit.command_line import command

_MODEL = flags.DEFINE_string("model", None, "List the weights of this variant alone.")
_README = flags.DEFINE_string(
    "readme", None, "A Markdown file with the lines `<!-- table -->` and `<!-- end of table -->`."
)
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->"


def run() -> None:
    """Prints names and addresses, or writes the table."""
    from keras_vit.files import replacing
    from keras_vit.weights import find_checkpoint, list_weights
    from keras_vit.weights.lookup import markdown_table

    if _README.value:
        text = Path(_README.value).read_text(encoding="utf-8")
        if text.count(_BEGIN) != 1 or text.count(_END) != 1:
            raise ValueError(f"Expected one '{_BEGIN.strip()}' and one '{_END}' in the file.")
        text = text.split(_BEGIN)[0] + _BEGIN + markdown_table() + _END + text.split(_END)[1]
        with replacing(_README.value) as partial:
            partial.write_text(text, encoding="utf-8")
        return
    names = {_MODEL.value: list_weights(_MODEL.value)} if _MODEL.value else list_weights()
    for model, weights in names.items():
        for name in weights:
            print(f"{model:<16} {name:<45} {find_checkpoint(model, name).address}")


main = command(run)

if __name__ == "__main__":
    app.run(main)
