import threading

import numpy as np
import pytest
import torch

from arena_estimators._encoder._tokenise import Sequences
from arena_estimators.neural_network.model._processor import PairData
from arena_estimators.neural_network.training._steps import Batching, StepLoader, apply

BATCHING = {"batch_tokens": 100, "accumulate": 2, "seed": 3, "pad_id": 0, "packed": False}
BATCHING |= {"static": False, "pin": False, "part_tokens": 100, "piece_tokens": 60}
BATCHING |= {"rank": 0, "size": 1}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 30, size=60)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(1, 99, size=offsets[-1]).astype(np.int32)
    rows = rng.integers(0, 60, size=(50, 2))
    target = np.eye(3)[rng.integers(0, 3, size=50)]
    style = rng.normal(size=(50, 2)).astype(np.float32)
    return PairData(None, Sequences(ids, offsets, None), rows, style, style, target, rng.random(50))


def _steps(data, **changes):
    training = changes.pop("training", True)
    return StepLoader(
        data, batching=Batching(**(BATCHING | changes)), n_epochs=2, training=training
    )


def _positions(steps):
    return [[part["positions"].tolist() for part in step.parts] for step in steps]


@pytest.mark.parametrize("packed", [False, True])
def test_every_battle_comes_once_an_epoch_within_the_budget(data, packed):
    steps = _steps(data, packed=packed)
    for steps.epoch in (0, 1):
        grouped = _positions(steps)
        assert sorted(sum(sum(grouped, []), [])) == list(range(50))
        assert all(len(parts) <= 2 for parts in grouped)
    for step in steps:
        for part in step.parts:
            assert sum(inputs["input_ids"].numel() for inputs in part["inputs"]) <= 100
    assert steps.n_steps == sum(map(len, steps.epochs))


def test_a_batch_is_computed_in_parts(data):
    whole, cut = _steps(data), _steps(data, part_tokens=60)
    assert cut.epochs[0][0][0][0].tolist() == whole.epochs[0][0][0][0].tolist()
    seeds, n_parts = [], []
    for one, other in zip(whole, cut, strict=True):
        assert (len(one), one.weight) == (len(other), other.weight)
        grouped = [[part["positions"].tolist() for part in step.parts] for step in (one, other)]
        assert sum(grouped[0], []) == sum(grouped[1], [])
        for part in other.parts:
            longest = data.sequences.lengths[data.rows[part["positions"]]].max()
            assert 2 * longest * len(part["positions"]) <= 60
            assert part["total"] == one.parts[0]["total"]
        seeds += [part["seed"] for part in other.parts]
        n_parts.append(len(other.parts) - len(one.parts))
    assert len(set(seeds)) == len(seeds)
    assert sum(n_parts) > 10


def test_epochs_and_seeds_differ_and_repeat(data):
    first, again, other = _steps(data), _steps(data), _steps(data, seed=4)
    one = _positions(first)
    assert one == _positions(again) == _positions(first)
    assert one != _positions(other)
    first.epoch = 1
    assert one != _positions(first)
    first.epoch, first.skip = 0, 2
    assert _positions(first) == one[2:]
    assert len({_steps(data, seed=seed).describe()["steps"] for seed in range(100)}) == 100


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_finds_its_own_tokens(data, packed):
    for step in _steps(data, packed=packed):
        for part in step.parts:
            found = []
            for inputs in part["inputs"]:
                ids = inputs["input_ids"]
                if packed:
                    found += list(ids[0].split(inputs["cu_seqlens"].diff().tolist()))
                else:
                    found += [
                        row[mask.bool()]
                        for row, mask in zip(ids, inputs["attention_mask"], strict=True)
                    ]
            for position, local in zip(part["positions"], part["rows"].tolist(), strict=True):
                for row, place in zip(data.rows[position], local, strict=True):
                    start, stop = data.sequences.offsets[row : row + 2]
                    expected = data.sequences.ids[start:stop]
                    np.testing.assert_array_equal(found[place].numpy(), expected)
            np.testing.assert_array_equal(part["odd"].numpy(), data.odd[part["positions"]])
            assert len(found) == len(np.unique(data.rows[part["positions"]]))  # and no others


def test_several_processes_share_what_one_does(data):
    alone = _positions(_steps(data, accumulate=4))
    shares = [_positions(_steps(data, rank=rank, size=2)) for rank in (0, 1)]
    together = [sorted(a + b) for a, b in zip(*shares, strict=True)]
    assert together == [sorted(parts) for parts in alone]
    weights = [step.weight for step in _steps(data, rank=1, size=2)]
    assert sum(weights) == pytest.approx(data.weight.sum())
    assert [step.weight for step in _steps(data, accumulate=4)] == pytest.approx(weights)


def test_static_batches_have_one_shape(data):
    shapes = set()
    steps = _steps(data, packed=True, static=True)
    for steps.epoch in (0, 1):
        for step in steps:
            for part in step.parts:
                (inputs,) = part["inputs"]
                shape = tuple(tuple(v.shape) for v in inputs.values() if torch.is_tensor(v))
                shapes.add((*shape, inputs["max_length"]))
    assert len(shapes) == 1


def test_a_validation_is_one_step(data):
    (step,) = _steps(data, training=False)
    assert len(step) == 50
    assert len(step.parts) > 4


def test_steps_made_ahead_are_the_same(data, monkeypatch):
    makers = []

    def pin_memory(tensor):
        makers.append(threading.current_thread())
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    expected = _positions(_steps(data))
    assert makers == []
    assert _positions(_steps(data, pin=True)) == expected
    assert len(set(makers) - {threading.current_thread()}) == len(set(makers)) == 1


def test_no_two_batches_share_their_dropout(data):
    epochs = _steps(data).epochs
    seeds = [seed for epoch in epochs for step in epoch for _, seed in step]
    assert len(set(seeds)) == len(seeds)


def test_a_static_batch_has_room_for_much_padding(data):
    few = data.take(np.arange(4))
    size = {"batch_tokens": 4000, "part_tokens": 4000, "pad_id": 200}
    (step,) = _steps(few, packed=True, static=True, **size)
    (ids,) = step.parts[0]["inputs"][0]["input_ids"]
    n_tokens = data.sequences.lengths[np.unique(few.rows)].sum()
    assert len(ids) == 4000
    assert (ids[:n_tokens] != 200).all() and (ids[n_tokens:] == 200).all()


def test_a_batch_has_its_own_style_labels_and_weights(data):
    other = PairData(
        None, data.sequences, data.rows, data.odd, data.even + 1, data.target, data.weight
    )
    some = np.arange(49, 20, -2)
    for step in _steps(other.take(some)):
        for part in step.parts:
            rows = some[part["positions"]]
            for name in ("odd", "even", "target", "weight"):
                expected = getattr(other, name)[rows].astype(np.float32)
                np.testing.assert_array_equal(part[name].numpy(), expected)
                assert part[name].dtype == torch.float32  # Apple's devices have no other


def test_what_is_padded_together_is_small_and_of_similar_length(data):
    for step in _steps(data):
        for part in step.parts:
            for inputs in part["inputs"]:
                lengths = inputs["attention_mask"].sum(1)
                assert inputs["input_ids"].numel() <= 60
                assert lengths.min() >= 0.75 * lengths.max()


def test_padding_is_made_of_the_given_token(data):
    for step in _steps(data, pad_id=7):
        for part in step.parts:
            for inputs in part["inputs"]:
                assert (inputs["input_ids"][inputs["attention_mask"] == 0] == 7).all()


def test_light_steps_count_less(data):
    steps = list(_steps(data, accumulate=1))
    mean = data.weight.mean()
    for step in steps:
        for part in step.parts:
            assert part["total"] == pytest.approx(len(step) * mean)
            assert step.weight == pytest.approx(data.weight[part["positions"]].sum())


def test_battles_grouped_otherwise_are_described_otherwise(data):
    alike = [_steps(data).describe(), _steps(data, rank=1).describe()]
    assert alike[0] == alike[1]
    changed = ({"seed": 4}, {"accumulate": 1}, {"batch_tokens": 90}, {"packed": True}, {"size": 2})
    for changes in changed:
        assert _steps(data, **changes).describe() != alike[0]


@pytest.mark.parametrize("pin", [False, True])
def test_a_validation_without_battles_has_no_step(data, pin):
    steps = _steps(data.take(np.arange(0)), training=False, pin=pin)
    assert len(steps) == 0 and list(steps) == []


def test_functions_reach_the_tensors_within():
    given = {"inputs": [{"ids": torch.ones(2), "max_length": 3}], "seed": 5, "rows": torch.ones(1)}
    found = apply(given, torch.Tensor.neg)
    assert found["inputs"][0]["ids"].tolist() == [-1, -1]
    assert found["rows"].tolist() == [-1]
    assert (found["inputs"][0]["max_length"], found["seed"]) == (3, 5)


def test_a_battle_takes_the_room_its_sequences_do(data):
    """Beside a long sequence a short one is padded, unless the two are packed."""
    two = Sequences(np.ones(40, dtype=np.int32), np.array([0, 30, 40]), None)
    one = PairData(None, two, np.array([[0, 1]]), data.odd[:1], data.even[:1])
    assert one.lengths(packed=True).tolist() == [40]
    assert one.lengths(packed=False).tolist() == [60]


def _of_lengths(lengths, rows):
    """Give battles of sequences that have these lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sequences = Sequences(np.ones(offsets[-1], dtype=np.int32), offsets, None)
    style, weight = np.zeros((len(rows), 1), dtype=np.float32), np.ones(len(rows))
    return PairData(
        None, sequences, np.array(rows), style, style, np.eye(3)[weight.astype(int)], weight
    )


def test_packed_batches_are_filled_whatever_the_lengths():
    data = _of_lengths([20, 20, 10, 10, 10, 10], [[0, 1], [2, 3], [4, 5]])
    (step,) = _steps(data, packed=True, batch_tokens=80, accumulate=1)
    assert len(step) == 3


@pytest.mark.parametrize("seed", range(5))
def test_one_shape_holds_many_short_sequences_and_one_beyond_the_budget(seed):
    rows = np.arange(202).reshape(-1, 2)
    data = _of_lengths([1] * 200 + [150, 80], rows)
    steps = _steps(data, packed=True, static=True, batch_tokens=200, part_tokens=200, seed=seed)
    shapes, n_battles = set(), 0
    for steps.epoch in (0, 1):
        for step in steps:
            n_battles += len(step)
            shapes |= {
                (inputs["input_ids"].shape, inputs["cu_seqlens"].shape)
                for part in step.parts
                for inputs in part["inputs"]
            }
    assert n_battles == 2 * 101
    assert len(shapes) == 1


def test_one_shape_holds_as_many_sequences_as_padding_can_make_of_it():
    """62 short sequences and 3 of padding are one more than 64, so there must be room for 128."""
    data = _of_lengths([68, 68, 62, 2] + [1] * 62, np.arange(66).reshape(-1, 2))
    size = {"batch_tokens": 200, "part_tokens": 200}
    (step,) = _steps(data, packed=True, static=True, training=False, **size)
    assert [len(part["positions"]) for part in step.parts] == [2, 31]
    assert {part["inputs"][0]["cu_seqlens"].shape for part in step.parts} == {(129,)}


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([20, 10, 10, 10], [(1, 20), (3, 10)]),
        ([20] * 8, [(3, 20), (3, 20), (2, 20)]),
        ([20, 15], [(2, 20)]),
        ([80, 70, 10, 10], [(1, 80), (1, 70), (2, 10)]),  # some fit nowhere
    ],
)
def test_sequences_of_one_length_are_computed_together_as_far_as_they_fit(lengths, shapes):
    data = _of_lengths(lengths, np.arange(len(lengths)).reshape(-1, 2))
    (step,) = _steps(data, accumulate=1, batch_tokens=320, part_tokens=320)
    (part,) = step.parts
    assert [inputs["input_ids"].shape for inputs in part["inputs"]] == shapes
