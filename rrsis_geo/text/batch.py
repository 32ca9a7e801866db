"""What the networks read of a list of expressions."""

from typing import NamedTuple

from torch import Tensor


class TextBatch(NamedTuple):
    """Tokens of B expressions, each cut or padded to L.

    Attributes:
        ids: int64 [B, L], word-piece ids; padding is the vocabulary's ``[PAD]``.
        attention: bool [B, L], True at tokens, False at padding.
        subject: bool [B, L], True at the pieces of the phrase that names the target, which BTDNet
            masks.
        objects: bool [B, L], True at the pieces of every category name (FIANet's object fragment).
        positions: bool [B, L], True at the pieces of position phrases (FIANet's position fragment);
            equal to ``attention`` where the expression has none.
    """

    ids: Tensor
    attention: Tensor
    subject: Tensor
    objects: Tensor
    positions: Tensor

    def to(self, device: object) -> "TextBatch":
        """The same batch on another device."""
        return TextBatch(*(field.to(device) for field in self))  # type: ignore[call-overload]
