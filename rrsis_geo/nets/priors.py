"""What words say of place and of size, as log-odds that are added to a mask. Ours.

A mask's weights are one vector an expression, and pixels hardly know where they lie or how large
the object is that they belong to; what "left" and "largest" ask for is then slow to learn from
masks alone. Here each word, read before the text has seen the image, weighs a few maps that say
just that. No map is constant: how sure a network is of a thing is not for its place to say.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLACE_TERMS = 5
"""Maps of :func:`place_terms`."""
SIZE_TERMS = 3
"""Maps of :func:`size_terms`."""

_PART = -1.0
"""Log-odds above which pixels belong to an object; at 0, doubtful ones fall into pieces."""
_SPECK = 3.0
"""An object so many times smaller than the average one is not taken for the smallest."""
_SURE = 1.5
"""Nor is one whose highest log-odds lie so much below those of the surest one."""
_LEAD = math.log(1.35)
"""Nobody calls an object the largest or the smallest whose lead is less: training does not either.
What a mask shows of its lead may be less, since it is rough."""
_DOUBTFUL = 1.0
"""How far what does not count stands from the smallest, at least."""


class WordWeights(nn.Module):
    """The weights of some maps that an expression asks for: the sum over its words."""

    def __init__(self, width: int, hidden: int, terms: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, terms, bias=False)
        nn.init.normal_(last.weight, std=0.02)  # near nothing at first
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), last)

    def forward(self, words: Tensor, attention: Tensor) -> Tensor:
        """[b, L, D], bool [b, L] -> [b, terms]."""
        out: Tensor = (self.mlp(words) * attention[:, :, None]).sum(1)
        return out


def weighted(weights: Tensor, terms: Tensor) -> Tensor:
    """Weights [b, T] and maps [T, h, w] or [B, T, h, w] -> their sum [b or B, h, w]."""
    out: Tensor = (weights[:, :, None, None] * terms).sum(1)
    return out


def place_terms(like: Tensor) -> Tensor:
    """x, y, x^2, y^2 and x y at the pixels of [..., H, W] -> [5, H, W], of the same dtype.

    x grows to the right and y down, both from -1 to 1 between the outermost edges.
    """
    H, W = like.shape[-2:]
    rows = (torch.arange(H, device=like.device) + 0.5) / H * 2 - 1
    cols = (torch.arange(W, device=like.device) + 0.5) / W * 2 - 1
    y, x = torch.meshgrid(rows, cols, indexing="ij")
    return torch.stack([x, y, x * x, y * y, x * y]).to(like.dtype)


@torch.no_grad()
def size_terms(logits: Tensor) -> Tensor:
    """How the objects of a mask compare in size, at their pixels; zero elsewhere.

    Objects are the connected parts of ``logits > -1``. The three maps are the logarithm of an
    object's area against that of the largest one, of the smallest one (as a distance, so that what
    is smaller still does not pass for it) and of the average one, in the same mask: all zero where
    there is one object alone. The average is weighted by the square root of the area. What is much
    smaller than it, or much less sure than the surest, does not count as the smallest: specks and
    half-seen things would always win. From the largest and the smallest all others keep a least
    distance. A ring of one pixel about each object gets its values too.

    Args:
        logits: log-odds [B, h, w].

    Returns:
        Float32 [B, 3, h, w], without gradient.
    """
    labels = connected_parts(logits > _PART)
    flat_BN = labels.flatten(1)
    area = torch.zeros(len(labels), flat_BN.shape[1] + 1, device=labels.device)
    area = area.scatter_add_(1, flat_BN, torch.ones_like(flat_BN, dtype=area.dtype))
    area[:, 0] = 0
    found = area > 0
    size, weight = area.clamp(min=1).log(), area.sqrt()
    mean = (weight * size).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    largest = size.amax(1, keepdim=True)
    counts = found & (area * _SPECK >= mean.exp())
    peak = torch.full_like(area, -torch.inf)
    peak = peak.scatter_reduce_(1, flat_BN, logits.flatten(1).float(), "amax")
    counts &= peak >= peak.masked_fill(~counts, -torch.inf).amax(1, keepdim=True) - _SURE
    smallest = size.masked_fill(~counts, torch.inf).amin(1, keepdim=True)
    below, above = _apart(largest - size), _apart((size - smallest).abs())
    against = [-below, above.where(counts, above.clamp(min=_DOUBTFUL)), size - mean]
    terms = torch.stack(against, 1).masked_fill(~found[:, None], 0)
    ringed = F.max_pool2d(labels.float(), 3, 1, 1).long().where(labels == 0, labels)
    index = ringed.flatten(1)[:, None].expand(-1, SIZE_TERMS, -1)
    out: Tensor = terms.gather(2, index).unflatten(2, labels.shape[1:])
    return out


def _apart(distance: Tensor) -> Tensor:
    """Distances of logarithms >= 0: what is apart is so by the least lead."""
    return distance.clamp(min=_LEAD).where(distance > 0, 0)


def connected_parts(mask: Tensor) -> Tensor:
    """Number the connected parts of masks; pixels that meet at a corner only are not connected.

    Each pixel takes the highest number among its neighbours, then that of the pixel so numbered,
    until nothing changes.

    Args:
        mask: bool [B, h, w], h w at most 2^24.

    Returns:
        int64 [B, h, w]: 0 outside, one positive number for each part, h w at most.
    """
    B, h, w = mask.shape
    number = torch.arange(1, h * w + 1, device=mask.device, dtype=torch.float32).view(1, h, w)
    labels = number * mask
    while True:
        near = torch.maximum(
            F.max_pool2d(labels, (3, 1), 1, (1, 0)), F.max_pool2d(labels, (1, 3), 1, (0, 1))
        )
        near = (near * mask).flatten(1)
        jumped = F.pad(near, (1, 0)).gather(1, near.long()).view(B, h, w)
        if torch.equal(jumped, labels):
            return labels.long()
        labels = jumped
