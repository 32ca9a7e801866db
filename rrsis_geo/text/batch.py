"""Tokens of expressions, as networks read them."""

from typing import NamedTuple

from torch import Tensor


class TextBatch(NamedTuple):
    """Tokens of B expressions, truncated or padded to L tokens.

    Attributes:
        ids: int64 [B, L], ids of word pieces; padding is ``[PAD]``.
        attention: bool [B, L], True at tokens, False at padding.
        subject: bool [B, L], True at the pieces of the phrase that names the target. BTDNet masks
            them.
        objects: bool [B, L], True at the pieces of category names (object fragment of FIANet).
        positions: bool [B, L], True at the pieces of position phrases (position fragment of
            FIANet); equal to ``attention`` if the expression has none.
    """

    ids: Tensor
    attention: Tensor
    subject: Tensor
    objects: Tensor
    positions: Tensor

    def to(self, device: object) -> "TextBatch":
        """Move the batch to a device."""
        return TextBatch(*(field.to(device) for field in self))  # type: ignore[call-overload]
