"""Compile an encoder for training on a GPU."""

import importlib.util
import os
import shutil
import sysconfig

import torch
from torch import fx
from torch.nn import functional

_SHAPES = 1000
_SIDE_EFFECTS = "skip_fwd_side_effects_in_bwd_under_checkpoint"


def can_compile():
    """Tell whether torch.compile finds what it needs for a GPU: Triton, a compiler, Python.h."""
    compilers = (os.environ.get("CC", "gcc"), "clang")
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    found = importlib.util.find_spec("triton") and any(map(shutil.which, compilers))
    return bool(found) and os.path.isfile(header)


def compile_settings():
    """Set what torch.compile needs for the fits of a whole search, while this context lasts.

    torch counts the compilations of a function over all models of a family and, after eight, runs
    it uncompiled without a word; the shapes of fits all differ. And it leaves out layers that are
    checkpointed if they set a variable outside, as those of transformers 5.25 do, unless told that
    the backward pass need not set it again.
    """
    settings = {"recompile_limit": _SHAPES, "accumulated_recompile_limit": _SHAPES}
    if hasattr(torch._dynamo.config, _SIDE_EFFECTS):  # not in older releases
        settings[_SIDE_EFFECTS] = True
    return torch._dynamo.config.patch(settings)


def compile_for_training(encoder):
    """Give an encoder that is compiled for each shape when that first comes."""
    return torch.compile(encoder, dynamic=False, backend=_inductor_after_merging)


def _inductor_after_merging(graph_module, inputs):
    merge_products(graph_module)
    return torch._dynamo.lookup_backend("inductor")(graph_module, inputs)


def merge_products(graph_module):
    """Merge linear layers with the same input into one product: query, key and value, or gates.

    One large product is faster than three, and the gradient of the input is then one tensor, which
    the layer norm before them reads once; Inductor would write the sum of three to memory in
    float32. Layers that are not trained stay separate: merging copies their weights, which only
    takes memory. Layers with the same input are assumed to compute in the same precision, as they
    do in all families.
    """
    for part in graph_module.modules():
        if isinstance(part, fx.GraphModule):  # with checkpointing each layer is a graph of its own
            for layers in _reading_the_same(part.graph):
                _merge(part.graph, layers)
            part.recompile()


def _reading_the_same(graph):
    """Give lists of linear layers of a graph that can be merged."""
    groups = {}
    for node in graph.nodes:
        if node.target is functional.linear and len(node.args) == 3:  # as nn.Linear calls it
            read, *weights = node.args
            if all(weight is None or _is_trained(weight) for weight in weights):
                types = (weight and weight.meta["example_value"].dtype for weight in weights)
                groups.setdefault((read, *types), []).append(node)
    return [layers for layers in groups.values() if len(layers) > 1]


def _is_trained(weight):
    tensor = weight.meta.get("example_value")
    return weight.op == "placeholder" and tensor is not None and tensor.requires_grad


def _merge(graph, layers):
    """Put one linear layer in the place of several, each of which becomes a slice of its output."""
    read, _, bias = layers[0].args
    start = 0
    with graph.inserting_before(layers[0]):
        weights = graph.call_function(torch.cat, ([layer.args[1] for layer in layers],))
        biases = bias and graph.call_function(torch.cat, ([layer.args[2] for layer in layers],))
        together = graph.call_function(functional.linear, (read, weights, biases))
        for layer in layers:
            size = layer.args[1].meta["example_value"].shape[0]
            piece = graph.call_function(torch.narrow, (together, -1, start, size))
            layer.replace_all_uses_with(piece)
            start += size
    for layer in layers:
        graph.erase_node(layer)
