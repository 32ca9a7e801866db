"""Log-odds that words of place and order add to a mask. Not in the paper.

The weights of a mask are one vector per expression, and a pixel hardly knows where it is or how its
object compares with the others. So words such as "left", "largest" and "leftmost" are slow to learn
from masks alone. Here each word, read before the text has seen the image, weights a few maps that
carry this information. No map is constant, because a place must not change how confident the
network is overall.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLACE_TERMS = 5
"""Maps of :func:`place_terms`."""
ORDER_TERMS = 7
"""Maps of :func:`order_terms`."""

_PART = -1.0
"""Log-odds above which pixels belong to an object. At 0, uncertain objects break into pieces."""
_SPECK = 3.0
"""Objects that are this many times smaller than the average one are ignored."""
_SURE = 1.0
"""Objects whose highest log-odds are this much below the highest of all are ignored too."""
_LEAD = math.log(1.35)
"""Smallest lead, as the logarithm of a ratio of areas, with which training calls an object the
largest. The lead in a rough mask may be smaller."""
_SIDE = 6.0
"""Length of the side of an image. With it, the smallest lead of the leftmost object in training, a
twentieth of the side, is the same number as the smallest lead of areas."""
_DOUBTFUL = 1.0
"""Smallest distance of an ignored object from the first one."""


class WordWeights(nn.Module):
    """Weights of the maps for an expression: the sum over its words."""

    def __init__(self, width: int, hidden: int, terms: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, terms, bias=False)
        nn.init.normal_(last.weight, std=0.02)  # nearly no effect at the start
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), last)

    def forward(self, words: Tensor, attention: Tensor) -> Tensor:
        """[b, L, D], bool [b, L] -> [b, terms]."""
        out: Tensor = (self.mlp(words) * attention[:, :, None]).sum(1)
        return out


def weighted_sum(weights: Tensor, terms: Tensor) -> Tensor:
    """Weights [b, T] and maps [T, h, w] or [B, T, h, w] -> their sum [b or B, h, w]."""
    out: Tensor = (weights[:, :, None, None] * terms).sum(1)
    return out


def prior_logits(logits: Tensor, place: Tensor | None, order: Tensor | None) -> Tensor:
    """Log-odds that the words add to a mask: first for the place of pixels, then for their order.

    "The topmost car" may be at the bottom if no car is higher. So the first weight of order adds
    back what the prior of place subtracts from the strongest pixels. "The car at the top" has no
    such weight and then finds nothing.

    Args:
        logits: log-odds [B, h, w], even h and w.
        place: weights of :func:`place_terms` [b, 5], or None.
        order: the weight of what is added back, then those of :func:`order_terms`, [b, 8], or None.

    Returns:
        [B, h, w], of the dtype of ``logits``.
    """
    change = torch.zeros_like(logits)
    if place is not None:
        change = change + weighted_sum(place, place_terms(logits)).to(logits.dtype)
    if order is not None:
        decrease = (_peak(logits) - _peak(logits + change)).clamp(min=0)
        change = change + (order[:, 0] * decrease).to(logits.dtype)[:, None, None]
        terms = order_terms(_halve(logits + change))
        terms = F.interpolate(terms, logits.shape[-2:])
        change = change + weighted_sum(order[:, 1:], terms).to(logits.dtype)
    return change


def _halve(logits: Tensor) -> Tensor:
    """Half the resolution. Comparing objects does not need exact outlines."""
    return F.avg_pool2d(logits, 2)


@torch.no_grad()
def _peak(logits: Tensor) -> Tensor:
    return _halve(logits).flatten(1).amax(1)


def place_terms(like: Tensor) -> Tensor:
    """x, y, x^2, y^2 and x y at the pixels of [..., H, W] -> [5, H, W], in the same dtype.

    x grows to the right and y down, both from -1 to 1 between the outermost edges.
    """
    H, W = like.shape[-2:]
    rows = (torch.arange(H, device=like.device) + 0.5) / H * 2 - 1
    cols = (torch.arange(W, device=like.device) + 0.5) / W * 2 - 1
    y, x = torch.meshgrid(rows, cols, indexing="ij")
    return torch.stack([x, y, x * x, y * y, x * y]).to(like.dtype)


@torch.no_grad()
def order_terms(logits: Tensor) -> Tensor:
    """Maps that compare the objects of a mask in size and place; zero outside objects.

    Objects are the connected parts of ``logits > -1``. The maps hold the distance of each object

    - from the largest object (logarithm of the ratio of areas),
    - from the smallest object,
    - from the leftmost, rightmost, topmost and bottommost object (of the centres of mass, in sixths
      of the side of the image),
    - from the average size, signed, weighted by the square root of the area.

    All maps are zero where there is only one object. An object that is much smaller or much less
    certain than the others can be the largest, but never first in another order, because specks
    and uncertain objects would always win. All objects but the first have a minimum distance. A
    ring of one pixel around each object gets its values too.

    Args:
        logits: log-odds [B, h, w].

    Returns:
        float32 [B, 7, h, w], without gradient.
    """
    labels = label_components(logits > _PART)
    flat_BN = labels.flatten(1)
    x, y = place_terms(logits.float())[:2].flatten(1) * (_SIDE / 2)
    area, x_sum, y_sum = (_sum_by_label(flat_BN, each) for each in (torch.ones_like(x), x, y))
    area[:, 0] = 0
    exists = area > 0
    pixels = area.clamp(min=1)
    size, weight = pixels.log(), area.sqrt()
    mean = (weight * size).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    peak = torch.full_like(area, -torch.inf)
    peak = peak.scatter_reduce_(1, flat_BN, logits.flatten(1).float(), "amax")
    counts = exists & (area * _SPECK >= mean.exp())
    counts &= peak >= peak.masked_fill(~counts, -torch.inf).amax(1, keepdim=True) - _SURE
    x, y = x_sum / pixels, y_sum / pixels
    terms = [_distance_to_first(-size, exists)]
    for value in (size, x, -x, y, -y):
        distance = _distance_to_first(value, counts)
        terms.append(distance.where(counts, distance.clamp(min=_DOUBTFUL)))
    stacked = torch.stack([*terms, size - mean], 1).masked_fill(~exists[:, None], 0)
    ringed = F.max_pool2d(labels.float(), 3, 1, 1).long().where(labels == 0, labels)
    index = ringed.flatten(1)[:, None].expand(-1, ORDER_TERMS, -1)
    out: Tensor = stacked.gather(2, index).unflatten(2, labels.shape[1:])
    return out


def _sum_by_label(labels: Tensor, values: Tensor) -> Tensor:
    """Sum the values [N] of the pixels of each label, [B, N] -> [B, N + 1]."""
    B, N = labels.shape
    out = torch.zeros(B, N + 1, device=labels.device)
    return out.scatter_add_(1, labels, values.expand(B, N))


def _distance_to_first(value: Tensor, counts: Tensor) -> Tensor:
    """Distance of each value from the smallest one that counts, 0 or at least the lead, [B, n]."""
    least = value.masked_fill(~counts, torch.inf).amin(1, keepdim=True)
    distance = (value - least).abs()
    # centres are sums of floats: differences from rounding are ties
    return distance.clamp(min=_LEAD).where(distance > 1e-4, 0)


def label_components(mask: Tensor) -> Tensor:
    """Label the connected parts of masks. Pixels that touch only at a corner are not connected.

    Each pixel takes the highest label among its neighbours, then the label of the pixel with that
    number, until nothing changes.

    Args:
        mask: bool [B, h, w], h w at most 2^24.

    Returns:
        int64 [B, h, w]: 0 outside, one positive number per part, at most h w.
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
