import numpy as np
import pytest

from arena_estimators._encoder._batches import batches

LENGTHS = np.random.default_rng(0).integers(1, 400, 500)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "lengths", [LENGTHS, LENGTHS[:1], LENGTHS[:0], np.full(7, 1000), np.zeros(7, dtype=int)]
)
def test_every_item_once_and_within_the_budget(lengths, shuffle, packed):
    dealt = batches(lengths, batch_tokens=800, shuffle=shuffle, packed=packed, random_state=0)
    together = np.concatenate([*dealt, np.empty(0, dtype=int)])
    assert sorted(together) == list(range(len(lengths)))
    for batch in dealt:
        cost = lengths[batch].sum() if packed else lengths[batch].max() * len(batch)
        assert cost <= 800 or len(batch) == 1


def test_without_shuffling_the_longest_come_first():
    dealt = batches(LENGTHS, batch_tokens=2000)
    assert (np.diff(LENGTHS[np.concatenate(dealt)]) <= 0).all()


def test_shuffled_batches_hold_similar_lengths():
    dealt = batches(LENGTHS, batch_tokens=4000, shuffle=True, random_state=0)
    padded = sum(LENGTHS[batch].max() * len(batch) for batch in dealt)
    assert padded < 1.1 * LENGTHS.sum()
    means = [LENGTHS[batch].mean() for batch in dealt]
    assert means != sorted(means, reverse=True)


def test_packed_batches_are_nearly_full():
    dealt = batches(LENGTHS, batch_tokens=8000, shuffle=True, packed=True, random_state=0)
    assert LENGTHS.sum() > 0.9 * 8000 * (len(dealt) - 1)


@pytest.mark.parametrize("packed", [False, True])
def test_one_seed_one_result(packed):
    def dealt(seed):
        return batches(LENGTHS, batch_tokens=900, shuffle=True, packed=packed, random_state=seed)

    same = [np.array_equal(a, b) for a, b in zip(dealt(1), dealt(1), strict=True)]
    assert all(same)
    assert not np.array_equal(np.concatenate(dealt(1)), np.concatenate(dealt(2)))
    companions = [frozenset(batch) for batch in dealt(1)]
    assert companions != [frozenset(batch) for batch in dealt(2)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_may_fill_its_budget(packed):
    assert len(batches([5, 5, 5, 5], batch_tokens=10, packed=packed)) == 2


def test_items_meet_others_each_time_even_if_no_two_are_of_one_length():
    lengths = np.arange(1, 2001)

    def companions(seed):
        dealt = batches(lengths, batch_tokens=4000, shuffle=True, random_state=seed)
        return {frozenset(batch.tolist()) for batch in dealt if len(batch) > 1}

    first, second = companions(1), companions(2)
    assert len(first & second) < 0.1 * len(first)


def test_packed_batches_mix_all_lengths():
    lengths = np.repeat([10, 390], 100)
    dealt = batches(lengths, batch_tokens=4000, shuffle=True, packed=True, random_state=0)
    assert all(len(set(lengths[batch])) == 2 for batch in dealt)


@pytest.mark.parametrize("shuffle", [False, True])
def test_items_far_beyond_the_budget_get_batches_of_their_own(shuffle):
    dealt = batches(np.full(3, 1000), batch_tokens=10, shuffle=shuffle, random_state=0)
    assert sorted(batch.tolist() for batch in dealt) == [[0], [1], [2]]
