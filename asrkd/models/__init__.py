"""Acoustic models: one file an architecture, each with ``Config`` and ``build``; found by the file's name.

A model maps windows of features to logits over pdfs; softmax is for losses and targets.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from asrkd.core.plugins import find_plugin


def build_model(section: Mapping[str, Any], input_dim: int, num_pdfs: int, where: str) -> nn.Module:
    """The module that a ``model:`` section (``type`` and the type's own keys) describes.

    ``input_dim`` is the window's frames times the features' dimension; the module maps (..., input_dim) to logits
    (..., num_pdfs). Raises ConfigError for an unknown type or key.
    """
    plugin, config = find_plugin(__name__, section, default="dnn", where=where)
    module: nn.Module = plugin.build(config, input_dim, num_pdfs)
    return module
