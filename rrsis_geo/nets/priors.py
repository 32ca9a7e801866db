"""What words say of place and of order, as log-odds that are added to a mask. Ours.

A mask's weights are one vector an expression, and pixels hardly know where they lie, nor how the
object that they belong to compares with the others; what "left", "largest" and "leftmost" ask for
is then slow to learn from masks alone. Here each word, read before the text has seen the image,
weighs a few maps that say just that. No map is constant: how sure a network is of a thing is not
for its place to say.
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
"""Log-odds above which pixels belong to an object; at 0, doubtful ones fall into pieces."""
_SPECK = 3.0
"""An object so many times smaller than the average one does not count."""
_SURE = 1.0
"""Nor does one whose highest log-odds lie so much below those of the surest one."""
_LEAD = math.log(1.35)
"""Nobody calls an object the largest whose lead is less: training does not either. What a rough
mask shows of it may be less."""
_SIDE = 6.0
"""Length of an image's side. The least lead of a leftmost object, a twentieth of it, is so one of
sizes too."""
_DOUBTFUL = 1.0
"""How far what does not count stands from the first, at least."""


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


def pull(logits: Tensor, place: Tensor | None, order: Tensor | None) -> Tensor:
    """What words add to log-odds: they are pulled to a place, then objects are put in order.

    Who asks for the topmost may mean what lies at the bottom, if nothing lies higher. So the first
    weight of order gives back what the pull to the place takes from the pixels that keep most; who
    asks for what lies at the top means nothing then.

    Args:
        logits: log-odds [B, h, w], even h and w.
        place: weights of :func:`place_terms` [b, 5], or None.
        order: a weight for what is given back, then those of :func:`order_terms`, [b, 8], or None.

    Returns:
        [B, h, w], of the dtype of ``logits``.
    """
    by = torch.zeros_like(logits)
    if place is not None:
        by = by + weighted(place, place_terms(logits)).to(logits.dtype)
    if order is not None:
        lost = (_peak(logits) - _peak(logits + by)).clamp(min=0)
        by = by + (order[:, 0] * lost).to(logits.dtype)[:, None, None]
        terms = order_terms(_coarse(logits + by))
        terms = F.interpolate(terms, logits.shape[-2:])
        by = by + weighted(order[:, 1:], terms).to(logits.dtype)
    return by


def _coarse(logits: Tensor) -> Tensor:
    """To compare objects needs no outlines."""
    return F.avg_pool2d(logits, 2)


@torch.no_grad()
def _peak(logits: Tensor) -> Tensor:
    return _coarse(logits).flatten(1).amax(1)


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
def order_terms(logits: Tensor) -> Tensor:
    """How the objects of a mask compare in size and place, at their pixels; zero elsewhere.

    Objects are the connected parts of ``logits > -1``. The maps are the distance of an object from
    the largest one (the logarithm of their areas' ratio), from the smallest one, from the leftmost,
    rightmost, topmost and bottommost one (of their centres of mass, in sixths of the image's side),
    and the signed one from the average size, weighted by the square root of the area. All are zero
    where there is one object alone. What is much smaller than the average, or much less sure than
    the surest, may be the largest but is never first otherwise: specks and half-seen things would
    always win. From the first all others keep a least distance. A ring of one pixel about each
    object gets its values too.

    Args:
        logits: log-odds [B, h, w].

    Returns:
        Float32 [B, 7, h, w], without gradient.
    """
    labels = connected_parts(logits > _PART)
    flat_BN = labels.flatten(1)
    x, y = place_terms(logits.float())[:2].flatten(1) * (_SIDE / 2)
    area, x_sum, y_sum = (_sums(flat_BN, each) for each in (torch.ones_like(x), x, y))
    area[:, 0] = 0
    found = area > 0
    pixels = area.clamp(min=1)
    size, weight = pixels.log(), area.sqrt()
    mean = (weight * size).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    peak = torch.full_like(area, -torch.inf)
    peak = peak.scatter_reduce_(1, flat_BN, logits.flatten(1).float(), "amax")
    counts = found & (area * _SPECK >= mean.exp())
    counts &= peak >= peak.masked_fill(~counts, -torch.inf).amax(1, keepdim=True) - _SURE
    x, y = x_sum / pixels, y_sum / pixels
    terms = [_behind(-size, found)]
    for value in (size, x, -x, y, -y):
        distance = _behind(value, counts)
        terms.append(distance.where(counts, distance.clamp(min=_DOUBTFUL)))
    stacked = torch.stack([*terms, size - mean], 1).masked_fill(~found[:, None], 0)
    ringed = F.max_pool2d(labels.float(), 3, 1, 1).long().where(labels == 0, labels)
    index = ringed.flatten(1)[:, None].expand(-1, ORDER_TERMS, -1)
    out: Tensor = stacked.gather(2, index).unflatten(2, labels.shape[1:])
    return out


def _sums(labels: Tensor, values: Tensor) -> Tensor:
    """Sums of the values [N] of the pixels of each label, [B, N] -> [B, N + 1]."""
    B, N = labels.shape
    out = torch.zeros(B, N + 1, device=labels.device)
    return out.scatter_add_(1, labels, values.expand(B, N))


def _behind(value: Tensor, counts: Tensor) -> Tensor:
    """How far each is from the least of those that count, by the least lead if at all: [B, n]."""
    least = value.masked_fill(~counts, torch.inf).amin(1, keepdim=True)
    distance = (value - least).abs()
    # centres are sums of floats: what differs by rounding alone ties
    return distance.clamp(min=_LEAD).where(distance > 1e-4, 0)


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
