"""Deformable attention against a loop that follows its definition."""

import torch

from rrsis_geo.nets.deform import DeformableAttention

SIZES = [(4, 6), (2, 3)]


def bilinear(map_, x, y):
    """Value of [d, H, W] at (x, y) in pixels, centres at half integers, zero outside."""
    d, H, W = map_.shape
    x, y = x - 0.5, y - 0.5
    total = torch.zeros(d, dtype=map_.dtype)
    for row in (int(y // 1), int(y // 1) + 1):
        for col in (int(x // 1), int(x // 1) + 1):
            if 0 <= row < H and 0 <= col < W:
                weight = (1 - abs(float(y) - row)) * (1 - abs(float(x) - col))
                total = total + weight * map_[:, row, col]
    return total


def literal(attention, query, pixels):
    """Equation (3) of Deformable DETR, position by position."""
    N, D = query.shape
    M, L, P = attention.heads, attention.levels, attention.points
    offsets = attention.offsets(query).view(N, M, L, P, 2)
    weights = attention.weights(query).view(N, M, L * P).softmax(-1).view(N, M, L, P)
    values = attention.value(pixels).view(N, M, D // M)
    places = [((c + 0.5) / w, (r + 0.5) / h) for h, w in SIZES for r in range(h) for c in range(w)]
    out = torch.zeros(N, M, D // M, dtype=query.dtype)
    for n, (x, y) in enumerate(places):
        for m in range(M):
            start = 0
            for level, (h, w) in enumerate(SIZES):
                map_ = values[start : start + h * w, m].T.reshape(-1, h, w)
                start += h * w
                for p in range(P):
                    dx, dy = offsets[n, m, level, p]
                    sample = bilinear(map_, x * w + dx, y * h + dy)
                    out[n, m] += weights[n, m, level, p] * sample
    return attention.out(out.view(N, D))


def test_equals_the_definition():
    torch.manual_seed(0)
    attention = DeformableAttention(16, heads=2, levels=2, points=3)
    torch.nn.init.normal_(attention.offsets.weight, std=0.5)
    torch.nn.init.normal_(attention.weights.weight, std=0.5)
    N = sum(h * w for h, w in SIZES)
    query, pixels = torch.randn(N, 16), torch.randn(N, 16)
    with torch.no_grad():
        mine = attention(query[None], pixels[None], SIZES)[0]
        torch.testing.assert_close(mine, literal(attention, query, pixels), atol=1e-5, rtol=1e-4)


def test_points_start_as_a_star():
    attention = DeformableAttention(16, heads=8, levels=3, points=4)
    star = attention.offsets.bias.view(8, 3, 4, 2)
    reach = star.abs().amax(-1)
    torch.testing.assert_close(reach, torch.arange(1.0, 5).expand(8, 3, 4))


def test_computes_in_float32_under_autocast():
    attention = DeformableAttention(16, heads=2, levels=2)
    N = sum(h * w for h, w in SIZES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attention(torch.randn(1, N, 16), torch.randn(1, N, 16), SIZES)
    assert out.dtype == torch.float32
