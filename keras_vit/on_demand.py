"""Names of a package that are imported when one of them is first used.

A room writes its imports as ever, but under `if TYPE_CHECKING:`, where editors and type checkers
read them; `on_demand` reads them there too. So importing a room costs nothing, and its light
modules can be used where Keras must not be loaded yet, as before the flags of a command are read.

Reference: SPEC 1 of Scientific Python, "Lazy Loading of Submodules and Functions", which does the
same with stub files.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def on_demand(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its `__name__`; each `from package.module import names` in its `__init__.py` is
            done when one of the names is asked for, and every module of the package is a name too.

    Returns:
        Both functions.
    """
    module = sys.modules[package]
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith(package)
        for alias in node.names
        if alias.name != "*"
    }

    def get(name: str) -> Any:
        home = homes.get(name, package)
        if home != package:
            value = getattr(importlib.import_module(home), name)
        elif not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}"):
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *homes})

    return get, names
