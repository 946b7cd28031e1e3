"""The model: its config, the table of variants, the Vision Transformer itself, and its cost."""
