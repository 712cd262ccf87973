import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from arena_estimators._encoder import _attention, _run
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._modes import computing_in
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.neural_network.training import _compile
from arena_estimators.neural_network.training._compile import (
    can_compile,
    compile_for_training,
    compile_settings,
    merge_products,
)
from arena_estimators.neural_network.training._device import fast_layers
from arena_estimators.neural_network.training._trainable import (
    add_lora,
    disable_dropout,
    enable_checkpointing,
)


def products(graph_module):
    parts = [part for part in graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    return sum(
        node.target is torch.nn.functional.linear for part in parts for node in part.graph.nodes
    )


def mixing(query, key, value, *arguments, **options):
    """Stand in for the packed kernel, which is one operation to torch.compile."""
    return query * key + value


@pytest.fixture
def trained(tiny, learnable, monkeypatch):
    """Give a function that runs a family's encoder and its backward pass."""
    monkeypatch.setattr(_attention, "reference_varlen", mixing)

    def run(family, compiler, change=None, *, half=False):
        torch._dynamo.reset()
        encoder = load_encoder(tiny(family)).train()
        disable_dropout(encoder)
        torch.manual_seed(0)
        if change is not None:
            change(encoder)
        sequences = tokenise(
            learnable[0][:8], load_tokenizer(tiny(family)), max_length=64
        ).sequences
        inputs = _run.pack(sequences, np.arange(4), 256, max_sequences=16, max_length=64)
        cuda, cpu = torch.device("cuda"), torch.device("cpu")
        dtype = torch.bfloat16 if half else torch.float32
        with fast_layers(encoder, cuda, dtype), computing_in(dtype, cpu), compile_settings():
            vectors = _run.forward(compiler(encoder), inputs, pooling="mean")
            vectors.square().sum().backward()
        gradients = {name: p.grad for name, p in encoder.named_parameters() if p.requires_grad}
        return vectors.detach(), gradients

    return run


def lora(encoder):
    for name, parameter in add_lora(encoder, 4).named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


def first_layer_fixed(encoder):
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(".0." not in name)


def biases_of_keys_fixed(encoder):
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(not name.endswith("key.bias"))


# How many fewer products two layers have: query, key and value become one, and so do a gate and
# what it gates. ModernBERT and GPT-2 have them as one anyway.
FEWER = dict.fromkeys(("bert", "roberta", "distilbert", "electra"), 4)
FEWER |= dict.fromkeys(("qwen2", "llama", "gemma"), 6) | {"modernbert": 0, "gpt2": 0}


@pytest.mark.parametrize(
    ("family", "change", "fewer"),
    [
        *((family, None, fewer) for family, fewer in FEWER.items()),
        ("bert", enable_checkpointing, 4),
        ("llama", enable_checkpointing, 6),
        ("bert", lora, 4),  # the adapters' first halves
        ("llama", lora, 6),
        ("bert", first_layer_fixed, 2),
        ("llama", first_layer_fixed, 3),
        ("bert", biases_of_keys_fixed, 2),
    ],
)
def test_merging_products_changes_no_result(trained, family, change, fewer):
    counts = []

    def backend(graph_module, inputs):
        before = products(graph_module)
        merge_products(graph_module)
        counts.append((before, products(graph_module)))
        return graph_module

    vectors, gradients = trained(family, lambda encoder: encoder, change)
    merged, found = trained(family, lambda e: torch.compile(e, backend=backend), change)
    torch.testing.assert_close(merged, vectors)
    assert set(found) == set(gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)
    assert [before - after for before, after in counts] == [fewer]


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_merged_products_in_half_precision(trained, family):
    """As a GPU computes them, with gradients that are traced as Inductor traces them."""

    def backend(graph_module, inputs):
        merge_products(graph_module)
        return torch._dynamo.lookup_backend("aot_eager")(graph_module, inputs)

    vectors, gradients = trained(family, lambda encoder: encoder, half=True)
    merged, found = trained(family, lambda e: torch.compile(e, backend=backend), half=True)
    torch.testing.assert_close(merged, vectors, atol=0.02, rtol=0.02)
    for name, gradient in gradients.items():
        close = torch.nn.functional.cosine_similarity(found[name].ravel(), gradient.ravel(), 0)
        assert found[name].dtype == torch.float32 and close > 0.999


class Odd(torch.nn.Module):
    """Calls linear layers in ways in which torch.nn.Linear does not, and changes what they give."""

    def __init__(self):
        super().__init__()
        for size, name in enumerate("abcde", 2):
            self.register_parameter(name, torch.nn.Parameter(torch.randn(size, 4)))

    def forward(self, hidden):
        linear = torch.nn.functional.linear
        plain, named = linear(hidden, self.a), linear(hidden, weight=self.b)
        changed, other = linear(hidden, self.c, None).relu_(), linear(hidden, self.d, None)
        return plain, named, changed, other, linear(hidden, self.e, bias=None)


def test_linear_layers_of_all_forms_give_what_they_gave():
    torch.manual_seed(0)
    module, hidden, counts = Odd(), torch.randn(3, 4), []

    def backend(graph_module, inputs):
        merge_products(graph_module)
        counts.append(products(graph_module))
        return graph_module

    found = torch.compile(module, backend=backend)(hidden)
    assert counts == [4]
    for one, expected in zip(found, module(hidden), strict=True):
        torch.testing.assert_close(one, expected)


@pytest.fixture
def compiled(monkeypatch):
    """Give the graphs that Inductor is asked to compile; here they run as they are."""
    graphs = []

    def inductor(graph_module, inputs):
        graphs.append(graph_module)
        return graph_module

    usual = torch._dynamo.lookup_backend
    backends = {"inductor": inductor}
    monkeypatch.setattr(
        torch._dynamo, "lookup_backend", lambda name: backends.get(name) or usual(name)
    )
    return graphs


def test_what_inductor_compiles_is_merged(trained, compiled):
    trained("bert", compile_for_training)
    assert [products(graph) for graph in compiled] == [8]  # four in each layer, of six


@pytest.mark.parametrize("given", [{}, {"gradient_checkpointing": True}, {"lora_rank": 2}], ids=str)
@pytest.mark.parametrize("architecture", ["siamese", "cross"])
def test_a_whole_fit_compiles_once(small, learnable, compiled, monkeypatch, architecture, given):
    monkeypatch.setattr(_attention, "can_pack", lambda *_: True)
    monkeypatch.setattr(_attention, "reference_varlen", mixing)
    torch.compiler.reset()
    model = small(architecture=architecture, compile=True, **given).fit(*learnable)
    torch.compiler.reset()
    assert len(model.loss_curve_) > 5
    assert len(compiled) == 1


def test_more_shapes_are_compiled_than_torch_would():
    """torch silently stops after eight per function; a search needs one or more for each fit."""
    counter = CompileCounter()
    torch.compiler.reset()
    layer = torch.compile(torch.nn.Linear(4, 4), dynamic=False, backend=counter)
    with compile_settings():
        for length in range(1, 13):
            layer(torch.zeros(length, 4))
    torch.compiler.reset()
    assert counter.frame_count == 12


@pytest.mark.parametrize("compiler", ["gcc", "clang", "of CC"])
@pytest.mark.parametrize("missing", [None, "triton", "compiler", "header"])
def test_compiling_needs_triton_a_compiler_and_the_header(monkeypatch, tmp_path, missing, compiler):
    if missing != "header":
        (tmp_path / "Python.h").touch()
    triton = None if missing == "triton" else "there"
    here = None if missing == "compiler" else compiler
    monkeypatch.setattr(_compile.importlib.util, "find_spec", lambda name: triton)
    monkeypatch.setattr(_compile.shutil, "which", lambda name: name if name == here else None)
    monkeypatch.delenv("CC", raising=False)
    if compiler == "of CC":
        monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr(_compile.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert can_compile() == (missing is None)
