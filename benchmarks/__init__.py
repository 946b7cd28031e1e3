"""Studies of keras_vit and the figures they gave: run from a checkout, not installed."""
