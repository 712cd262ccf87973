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


def test_a_column_that_never_varied_keeps_its_scale(learnable):
    X, _ = learnable
    style = StyleInputs()
    fitted = style.fit_transform(X)
    titled = style.transform(X.assign(response_a="# title\n\n" + X["response_a"]))
    for before, after in zip(fitted, titled, strict=True):
        new = after[:, np.ptp(before, axis=0) == 0]
        assert 0 < np.abs(new).max() < 8
