"""Trace the network of a bundle into a graph of ONNX."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rrsis_geo.errors import ModelError
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.nets import ReferringNet
from rrsis_geo.text.batch import TextBatch

if TYPE_CHECKING:
    import onnx_ir

OPSET = 20
EXAMPLES = ("the truck on the road", "all buildings")
"""Expressions that the graph is traced with: two, because a batch of one would stay one."""


class _Graph(nn.Module):
    """A network that takes and returns tensors only."""

    def __init__(self, net: ReferringNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, tokens: TextBatch) -> tuple[Tensor, ...]:
        """Normalised [B, 3, S, S] and tokens -> logits and presence."""
        output = self.net(image, tokens)
        return (output.logits,) if output.presence is None else (output.logits, output.presence)


def trace_network(bundle: Bundle) -> "onnx_ir.Model":
    """Trace a network. The inputs are ``image`` and the fields of `TextBatch` that it reads.

    Args:
        bundle: its network must be on the CPU.

    Raises:
        ModelError: the network has a part that ONNX cannot express.
    """
    size_px, net = bundle.image.size_px, bundle.net
    image = torch.zeros(len(EXAMPLES), 3, size_px, size_px)
    tokens = bundle.tokenizer.encode(EXAMPLES)
    batch = {0: torch.export.Dim("batch")}
    try:
        program = torch.onnx.export(
            _Graph(net).eval(),
            (image, tokens),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image", *TextBatch._fields],
            output_names=["logits", "presence"] if net.estimates_presence else ["logits"],
            dynamic_shapes=(batch, TextBatch(*(batch for _ in tokens))),  # type: ignore[arg-type]
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as err:
        reason = str(err.__cause__ or err).strip().partition("\n")[0]
        raise ModelError(
            f"{bundle.path}: ONNX cannot express the network {net.name} ({reason}); "
            "run it with rrsis-geo"
        ) from err
    assert program is not None
    _remove_unread_inputs(program.model.graph)
    return program.model


def _remove_unread_inputs(graph: "onnx_ir.Graph") -> None:
    """Remove tokens of which the graph reads at most the shape, which all of them share."""
    import onnx_ir

    ids = next(value for value in graph.inputs if value.name == "ids")
    for value in list(graph.inputs):
        if all(node.op_type == "Shape" for node, _ in value.uses()):
            onnx_ir.convenience.replace_all_uses_with(value, ids)
            graph.inputs.remove(value)
