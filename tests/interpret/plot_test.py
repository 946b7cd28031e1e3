"""The public names of the plots."""

import ast
import pathlib

from keras_vit.interpret import plot


def test_every_public_name_is_documented():
    for name in plot.__all__:
        assert "Returns:" in getattr(plot, name).__doc__, name


def test_measures_need_no_matplotlib():
    """Nothing is imported from it but inside the functions that draw."""
    for path in pathlib.Path(plot.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        loaded = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {getattr(node, "module", None) or node.names[0].name for node in loaded}
        assert not {name.split(".")[0] for name in names} & {"matplotlib", "gradio", "PIL"}, path
