"""Compile an encoder for training on a GPU."""

import importlib.util
import operator
import os
import shutil
import sysconfig

import torch
from torch import fx

_SHAPES = 1000
_LINEAR = torch._C._nn.linear  # what functional.linear is in a graph


def can_compile():
    """Tell whether torch.compile finds what it needs for a GPU: Triton, a compiler, Python.h."""
    compilers = (os.environ.get("CC", "gcc"), "clang")
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    found = importlib.util.find_spec("triton") and any(map(shutil.which, compilers))
    return bool(found) and os.path.isfile(header)


def compiling_often():
    """Let one process compile for the fits of a whole search, whose shapes all differ.

    torch counts the compilations of a function over all models of a family and, after eight, runs
    it uncompiled without a word.
    """
    return torch._dynamo.config.patch(recompile_limit=_SHAPES, accumulated_recompile_limit=_SHAPES)


def compile_encoder(encoder):
    """Give an encoder that is compiled for each shape when that first comes."""
    return torch.compile(encoder, dynamic=False, backend=_inductor_after_merging)


def _inductor_after_merging(graph_module, inputs):
    merge_products(graph_module)
    return torch._dynamo.lookup_backend("inductor")(graph_module, inputs)


def merge_products(graph_module):
    """Let linear layers that read the same compute one product: query, key and value, or gates.

    One large product is faster than three, and the gradient of what they read is one tensor, which
    the layer norm before them reads once; Inductor would write the sum of three out in float32.
    Weights that a training does not change stay apart, whose copies would only take memory.
    """
    for part in graph_module.modules():
        if isinstance(part, fx.GraphModule):  # those that are recomputed have one of their own
            for layers in _reading_the_same(part.graph):
                _merge(part.graph, layers)
            part.recompile()


def _reading_the_same(graph):
    """Give lists of linear layers of a graph that can be merged."""
    groups = {}
    for node in graph.nodes:
        if node.target is _LINEAR:
            read, *weights = node.args
            if all(weight is None or _is_trained(weight) for weight in weights):
                types = (weight and weight.meta["example_value"].dtype for weight in weights)
                groups.setdefault((read, *types), []).append(node)
    return [layers for layers in groups.values() if len(layers) > 1]


def _is_trained(weight):
    tensor = weight.meta.get("example_value")
    return weight.op == "placeholder" and tensor is not None and tensor.requires_grad


def _merge(graph, layers):
    """Replace linear layers by one, and what each gives by a slice of what that gives."""
    read, _, bias = layers[0].args
    sizes = [layer.args[1].meta["example_value"].shape[0] for layer in layers]
    with graph.inserting_before(layers[0]):
        weights = graph.call_function(torch.cat, ([layer.args[1] for layer in layers],))
        biases = bias and graph.call_function(torch.cat, ([layer.args[2] for layer in layers],))
        together = graph.call_function(_LINEAR, (read, weights, biases))
        slices = graph.call_function(torch.split, (together, sizes, -1))
        for place, layer in enumerate(layers):
            layer.replace_all_uses_with(graph.call_function(operator.getitem, (slices, place)))
    for layer in layers:
        graph.erase_node(layer)
