"""The notebooks run, hold what they said when they ran, and open in Colab."""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_to_its_end_without_errors(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert f"/docs/notebooks/{path.name})" in "".join(cells[0]["source"])
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.fixture(scope="module")
def shell():
    """What runs the cells of a notebook in its kernel, here where TensorFlow is already there."""
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    pytest.importorskip("matplotlib_inline")

    class Shell(interactive):
        def enable_gui(self, gui=None):  # pictures need no window
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        yield Shell.instance()
        Shell.clear_instance()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, shell, tmp_path, monkeypatch):
    """From its first cell to its last, training for one epoch."""
    monkeypatch.chdir(tmp_path)
    shell.reset()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = re.sub(
                r"^epochs = \d+", "epochs = 1", "".join(cell["source"]), flags=re.MULTILINE
            )
            shell.run_cell(source).raise_error()
