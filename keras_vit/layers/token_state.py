"""The sequence between two blocks: the tokens, and what blocks hand on beside them."""

from __future__ import annotations

from typing import Any, NamedTuple


class TokenState(NamedTuple):
    """What enters a block and what leaves it.

    Attributes:
        tokens: `(batch, tokens, hidden_size)`.
        state: what blocks hand on beside them, tensors by name, as `TransformerBlock` lists them;
            None where there is nothing.
    """

    tokens: Any
    state: dict[str, Any] | None = None

    @classmethod
    def of(cls, outputs: Any) -> TokenState:
        """Reads what a block returns: tokens alone, or a pair."""
        return cls(*outputs) if isinstance(outputs, (tuple, list)) else cls(outputs)

    @property
    def sizes(self) -> Any:
        """`(batch, tokens)`: how many tokens of the full sequence each holds; None for one each."""
        return (self.state or {}).get("sizes")

    @property
    def places(self) -> Any:
        """`(batch, all tokens)`: where each token of the full sequence is now, or None."""
        return (self.state or {}).get("places")
