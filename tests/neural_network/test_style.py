import numpy as np

from arena_estimators.neural_network._style import StyleInputs


def test_style_is_cut_at_eight(learnable):
    X, _ = learnable
    style = StyleInputs()
    style.fit_transform(X)
    for block in style.transform(X.assign(response_a="# title\n\n" * 5000)):
        assert np.abs(block).max() == 8


def test_style_is_scaled_and_only_symmetric_columns_are_shifted(learnable):
    X, _ = learnable
    odd, even = StyleInputs().fit_transform(X)
    for block in (odd, even):
        spread = np.sqrt((block.astype(float) ** 2).mean(0))
        varied = spread > 0
        assert varied.sum() > 3
        np.testing.assert_allclose(spread[varied], 1, atol=0.2)
    np.testing.assert_allclose(even.mean(0), 0, atol=0.1)
