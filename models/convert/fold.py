"""Batch norm, biases and scales disappear into the layer before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.convert import nodes as n


def fold(nodes: Sequence[n.Node], outputs: Sequence[int]) -> list[n.Node]:
    """Fold affine steps into the layer before them, where nothing else reads that layer."""
    folded = list(nodes)
    readers: dict[int, int] = dict.fromkeys(outputs, 1)
    for node in nodes:
        for source in n.sources(node.kind):
            readers[source] = readers.get(source, 0) + 1
    for index, node in enumerate(nodes):
        if not isinstance(node.kind, n.Affine):
            continue
        before = folded[node.kind.source].kind
        if isinstance(before, n.Linear) and readers[node.kind.source] == 1:
            scale = np.asarray(node.kind.scale, np.float32)
            layer = replace(
                before,
                kernel=before.kernel * scale,
                bias=before.bias * scale + np.asarray(node.kind.offset, np.float32),
            )
            folded[index] = n.Node(layer, node.values)
    return folded
