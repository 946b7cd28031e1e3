"""What arguments of layers and fields of configs may be called: each choice in one place.

Nothing here imports Keras.
"""

MLPS = ("gelu", "swiglu", "relu")
GELUS = ("erf", "tanh", "quick")
ROTARY_SCALES = ("index", "centred")
ROTARY_PAIRS = ("halves", "neighbours")
ROTARY_ORDERS = ("yx", "xy")
RELATIVE_BIASES = ("table", "mlp")
# Rows of a table of such biases behind the distances: from prefix tokens, to them, among them.
PREFIX_ROWS = 3
