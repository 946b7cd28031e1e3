import re

import pytest

from keras_vit.weights.forms import FORMS
from keras_vit.weights.layouts import LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS, ids=[type(x).__name__ for x in LAYOUTS])
def test_tables_are_well_formed(layout):
    for row in layout.rows:
        assert row.form in FORMS, row
        assert len(row.shares) == len(row.targets), row
        places = {part[1] for source in row.sources for part in source.split("{")[1:]}
        assert row.stacked is not None or len(places) <= 2
    names = [(source, row.when, row.unless) for row in layout.rows for source in row.sources]
    assert len(names) == len(set(names))
    assert any(layout.table_name(layout.signature) in row.sources for row in layout.rows)
    for pattern in layout.ignored:
        assert not any(
            re.fullmatch(pattern, prefix + layout.signature) for prefix in layout.prefixes
        )
