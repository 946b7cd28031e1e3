"""The public names of the plots."""

import subprocess
import sys

from keras_vit.interpret import plot


def test_every_public_name_is_documented():
    for name in plot.__all__:
        assert "Returns:" in getattr(plot, name).__doc__, name


def test_measures_need_no_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import keras_vit.interpret"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
