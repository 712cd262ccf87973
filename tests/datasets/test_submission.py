"""make_submission and write_submission: right columns, or an error and the old file."""

import os
import re
import stat

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from arena_estimators import make_battles, make_submission, write_submission
from arena_estimators.exceptions import ArenaWarning, SubmissionError

COLUMNS = ["id", "winner_model_a", "winner_model_b", "winner_tie"]


class Fixed(ClassifierMixin, BaseEstimator):
    """Predicts what it is told."""

    def __init__(self, classes_, proba):
        self.classes_ = classes_
        self.proba = proba

    def predict_proba(self, X):
        return self.proba


@pytest.fixture
def X():
    return make_battles(3, random_state=0).X


@pytest.fixture
def frame():
    return pd.DataFrame(
        dict(zip(COLUMNS, [[9, 4, 7], [0.5, 0, 1], [0.25, 1, 0], [0.25, 0, 0]], strict=True))
    )


PROBA = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])


def test_columns_follow_the_names_of_the_classes(X):
    expected = make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X, [9, 4, 7])
    assert expected.columns.tolist() == COLUMNS
    assert expected.id.tolist() == [9, 4, 7]
    np.testing.assert_array_equal(expected[COLUMNS[1:]], PROBA)
    assert expected.index.equals(pd.RangeIndex(3))
    shuffled = Fixed(np.array(["tie", "model_b", "model_a"]), PROBA[:, [2, 1, 0]])
    pd.testing.assert_frame_equal(make_submission(shuffled, X, [9, 4, 7]), expected)
    numbers = Fixed(np.array([1, 2, 0]), PROBA[:, [1, 2, 0]])
    pd.testing.assert_frame_equal(make_submission(numbers, X, [9, 4, 7]), expected)


def test_pipeline_and_series_of_ids(X):
    data = make_battles(90, random_state=1)
    model = make_pipeline(FunctionTransformer(), DummyClassifier()).fit(data.X, data.y)
    submission = make_submission(model, X, pd.Series(["x", "y", "a"], index=[5, 1, 3]))
    assert submission.id.tolist() == ["x", "y", "a"]
    assert submission.winner_tie[0] == pytest.approx(np.mean(data.y == "tie"))


def test_float32_rows_sum_to_one_in_float64(X):
    proba = np.full((3, 3), 1 / 3, dtype=np.float32)
    submission = make_submission(Fixed(["model_a", "model_b", "tie"], proba), X, [1, 2, 3])
    np.testing.assert_allclose(submission[COLUMNS[1:]].sum(axis=1), 1, rtol=1e-15)


@pytest.mark.parametrize(
    ("classes", "proba", "expected"),
    [
        (["model_a", "model_b"], PROBA[:, :2], "without ties.*'winner': model.predict"),
        ([0, 1], PROBA[:, :2], "without ties"),
        (["a", "b", "tie"], PROBA, "classes are"),
        ([1, 2, 3], PROBA, "classes are"),
        (["model_a", "model_b", "tie"], PROBA[:2], "shape"),
        (["model_a", "model_b", "tie"], PROBA[:, :2], "shape"),
        (["model_a", "model_b", "tie"], PROBA * 1.01, "Row 0 .id 9.*sum to one"),
        (["model_a", "model_b", "tie"], PROBA + [[0, 0, 0], [0, 0, np.nan], [0] * 3], "Row 1"),
        (["model_a", "model_b", "tie"], PROBA + [[0] * 3, [0] * 3, [0.1, -0.1, 0]], "Row 2"),
        (["model_a", "model_b", "tie"], PROBA + [np.inf, 0, 0], "Row 0"),
    ],
)
def test_wrong_predictions_are_refused(X, classes, proba, expected):
    model = Fixed(classes, proba)
    with pytest.raises(SubmissionError, match=expected):
        make_submission(model, X, [9, 4, 7])


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2], "3 battles but there are 2 ids"),
        (None, "no ids"),
        ([1, None, 3], "row 1 is missing"),
        ([[1], [2], [3]], "shape"),
        ([], "at least one"),
    ],
)
def test_wrong_ids_are_refused_before_predicting(X, ids, expected):
    with pytest.raises(SubmissionError, match=expected):
        make_submission(Fixed(["model_a", "model_b", "tie"], None), X, ids)


@pytest.mark.parametrize(
    "ids", [[1.0, 2.0, 3.0], [3e16, 2e16, 1e16], ["7", "3.00390E+10", "8"], ["3E+10", "a", "b"]]
)
def test_ids_that_a_spreadsheet_changed_are_warned_of(X, ids):
    model = Fixed(["model_a", "model_b", "tie"], PROBA)
    changed = ids[1] if ids[0] == "7" else ids[0]
    with pytest.warns(ArenaWarning, match=f"ids like {re.escape(str(changed))}, .* are whole"):
        assert make_submission(model, X, ids).id.tolist() == ids


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ids", [[1, 2, 3], ["007", "1e5", "a"], ["1-2.5", "v1.0", "3"]])
def test_other_ids_are_not_warned_of(X, ids):
    make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X, ids)


def test_estimators_without_probabilities_are_refused(X):
    with pytest.raises(SubmissionError, match="no predict_proba"):
        make_submission(FunctionTransformer(), X, [1, 2, 3])
    with pytest.raises(SubmissionError, match="no classes_"):
        make_submission(DummyClassifier(), X, [1, 2, 3])


@pytest.mark.parametrize("name", ["submission.csv", "submission.csv.gz"])
def test_round_trip(tmp_path, frame, name):
    write_submission(frame, tmp_path / name)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), frame, check_dtype=False)
    write_submission(frame.iloc[::-1], str(tmp_path / name))
    assert pd.read_csv(tmp_path / name).id.tolist() == [7, 4, 9]
    assert os.listdir(tmp_path) == [name]


def test_file_has_ordinary_permissions(tmp_path, frame):
    (tmp_path / "ordinary").touch()
    write_submission(frame, tmp_path / "submission.csv")
    ordinary, written = (os.stat(tmp_path / name) for name in ("ordinary", "submission.csv"))
    assert stat.S_IMODE(ordinary.st_mode) == stat.S_IMODE(written.st_mode)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda frame: frame.drop(columns="winner_tie"),
        lambda frame: frame[COLUMNS[::-1]],
        lambda frame: frame.assign(extra=1),
        lambda frame: frame.to_dict(),
        lambda frame: frame.head(0),
        lambda frame: frame.assign(winner_tie=0.5),
        lambda frame: frame.assign(winner_tie=np.nan),
        lambda frame: frame.assign(winner_tie="x"),
        lambda frame: frame.assign(id=[1, np.nan, 2]),
    ],
)
def test_old_file_stays_when_the_new_one_is_wrong(tmp_path, frame, break_it):
    path = tmp_path / "submission.csv"
    path.write_text("old")
    with pytest.raises(SubmissionError):
        write_submission(break_it(frame), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["submission.csv"]


def test_old_file_stays_when_the_disk_is_full(tmp_path, frame, full_disk):
    path = tmp_path / "submission.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left on device"):
        write_submission(frame, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["submission.csv"]


def test_wrong_names_are_refused(tmp_path, frame):
    with pytest.raises(SubmissionError, match="ends in .csv"):
        write_submission(frame, tmp_path / "submission.parquet")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SubmissionError, match="is a folder"):
        write_submission(frame, tmp_path / "folder.csv")
    with pytest.raises(SubmissionError, match="absent: no such folder"):
        write_submission(frame, tmp_path / "absent" / "submission.csv")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_id_is_refused(frame, tmp_path, blank):
    ids = frame["id"].astype(object)
    ids.iloc[1] = blank
    with pytest.raises(SubmissionError, match="id of row 1 is missing"):
        write_submission(frame.assign(id=ids), tmp_path / "submission.csv")


def test_the_file_behind_a_link_is_replaced_and_not_the_link(tmp_path, frame):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    write_submission(frame, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert pd.read_csv(tmp_path / "target.csv").id.tolist() == [9, 4, 7]


def test_a_packed_file_may_be_named_in_capitals(tmp_path, frame):
    write_submission(frame, tmp_path / "SUBMISSION.CSV.GZ")
    read = pd.read_csv(tmp_path / "SUBMISSION.CSV.GZ", compression="gzip")
    assert read.id.tolist() == [9, 4, 7]


def test_a_packed_file_unpacks_to_its_own_name(tmp_path, frame):
    write_submission(frame, tmp_path / "submission.csv.gz")
    packed = (tmp_path / "submission.csv.gz").read_bytes()
    assert packed[10:].startswith(b"submission.csv\0")  # the name in the header of gzip


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_the_row_that_sums_to_too_much_is_told_with_its_id(frame, tmp_path, column):
    frame = frame.assign(id=[7, 8, 9])
    frame.loc[2, column] += 1e-3
    with pytest.raises(SubmissionError, match=r"Row 2 \(id 9\) has the probabilities"):
        write_submission(frame, tmp_path / "submission.csv")


@pytest.mark.parametrize("ids", [[1, 2, None], ["a", "b", float("nan")], ["a", "b", pd.NA]])
def test_the_row_of_a_missing_id_is_told(X, ids):
    with pytest.raises(SubmissionError, match="id of row 2 is missing"):
        make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X, ids)


def test_ids_that_come_again_are_kept_and_warned_of(X):
    with pytest.warns(ArenaWarning, match="1 of 3 rows have an id .* such as 9"):
        frame = make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X, [9, 4, 9])
    assert frame.id.tolist() == [9, 4, 9]


def test_what_load_arena_gives_is_no_frame(X):
    data = make_battles(3, random_state=0)
    make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X.assign(X=1), data.id)
    with pytest.raises(SubmissionError, match=r"pass its battles alone, `\.X`"):
        make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), data, data.id)


def test_every_battle_has_one_id(X):
    with pytest.raises(SubmissionError, match="3 battles but there are 4 ids"):
        make_submission(Fixed(["model_a", "model_b", "tie"], PROBA), X, [1, 2, 3, 4])


def test_the_first_id_that_comes_again_is_told(X):
    proba = PROBA[[0, 1, 2, 0]]
    with pytest.warns(ArenaWarning, match="2 of 4 rows have an id .* such as 9"):
        make_submission(Fixed([0, 1, 2], proba), X.iloc[[0, 1, 2, 0]], [9, 9, 4, 4])


def test_an_id_that_ends_in_a_point_is_warned_of(X):
    with pytest.warns(ArenaWarning, match=r"ids like 7\.,"):
        make_submission(Fixed([0, 1, 2], PROBA), X, ["7.", "8", "9"])


@pytest.mark.filterwarnings("error")
def test_an_id_that_only_begins_like_a_float_is_not_warned_of(X):
    make_submission(Fixed([0, 1, 2], PROBA), X, ["1.5a", "1e+5 x", "2.0.1"])


@pytest.mark.parametrize(
    ("classes", "proba", "expected"),
    [
        (["model_b", "model_a"], PROBA[:, :2], "without ties"),
        ([0, 0, 2], PROBA, "classes are"),
        ([0, 1, 2, "tie"], PROBA, "classes are"),
    ],
)
def test_each_class_is_there_once(X, classes, proba, expected):
    with pytest.raises(SubmissionError, match=expected):
        make_submission(Fixed(classes, proba), X, [9, 4, 7])


@pytest.mark.filterwarnings("error")
def test_infinite_probabilities_are_refused_without_a_warning(X):
    with pytest.raises(SubmissionError, match="Row 0 .id 9. has the probabilities .inf, -inf"):
        make_submission(Fixed([0, 1, 2], PROBA + [np.inf, -np.inf, 0]), X, [9, 4, 7])


def test_rows_sum_to_one_within_a_ten_thousandth(X):
    submission = make_submission(Fixed([0, 1, 2], PROBA * 1.00009), X, [9, 4, 7])
    np.testing.assert_allclose(submission[COLUMNS[1:]], PROBA, rtol=1e-15)
    with pytest.raises(SubmissionError, match="sum to one"):
        make_submission(Fixed([0, 1, 2], PROBA * 1.00011), X, [9, 4, 7])


def test_what_is_no_number_is_no_probability(tmp_path, frame):
    with pytest.raises(SubmissionError, match="must be numbers"):
        write_submission(frame.assign(winner_tie=[{}, {}, {}]), tmp_path / "submission.csv")


def test_a_file_is_no_folder_to_write_into(tmp_path, frame):
    (tmp_path / "file").touch()
    with pytest.raises(SubmissionError, match="file: no such folder"):
        write_submission(frame, tmp_path / "file" / "submission.csv")


def test_lines_end_alike_on_every_machine(tmp_path, frame):
    write_submission(frame, tmp_path / "submission.csv")
    written = (tmp_path / "submission.csv").read_bytes()
    assert written.splitlines(keepends=True)[1] == b"9,0.5,0.25,0.25\n"


def test_an_estimator_fitted_on_three_columns_of_labels_is_refused(X):
    one_hot = pd.DataFrame(np.eye(3, dtype=int), columns=COLUMNS[1:])
    model = DummyClassifier().fit(X, one_hot)
    with pytest.raises(SubmissionError, match=r"classes are \[\[0, 1\], \[0, 1\], \[0, 1\]\]; exp"):
        make_submission(model, X, [9, 4, 7])
    with pytest.raises(SubmissionError, match=r"classes are \[\[0, 1\], \[0\]\]; exp"):
        make_submission(Fixed([np.array([0, 1]), np.array([0])], PROBA), X, [9, 4, 7])


def test_certain_predictions_are_written_as_numbers(tmp_path, frame):
    winners = pd.Series(["model_a", "tie", "model_b"])
    certain = pd.get_dummies(winners, prefix="winner", dtype=bool)
    certain = certain.assign(id=frame["id"])[COLUMNS]
    write_submission(certain, tmp_path / "submission.csv")
    written = (tmp_path / "submission.csv").read_text().splitlines()
    assert written[1:] == ["9,1.0,0.0,0.0", "4,0.0,0.0,1.0", "7,0.0,1.0,0.0"]


def test_short_floats_are_written_short(tmp_path, frame):
    frame = frame.assign(**dict.fromkeys(COLUMNS[1:3], np.float32(0.1)), winner_tie=0.8)
    write_submission(frame, tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_text().splitlines()[1] == "9,0.1,0.1,0.8"


def test_the_row_of_a_missing_probability_is_told(tmp_path, frame):
    frame = frame.assign(winner_tie=pd.array([0.25, None, 0], dtype="Float64"))
    with pytest.raises(SubmissionError, match=r"Row 1 \(id 4\) has the probabilities .* nan\]"):
        write_submission(frame, tmp_path / "submission.csv")


def test_no_probability_is_below_zero_however_little(X):
    proba = PROBA.copy()
    proba[2] = [0, -1e-12, 1 + 1e-12]
    with pytest.raises(SubmissionError, match="Row 2 .id 7. .*of at least 0"):
        make_submission(Fixed([0, 1, 2], proba), X, [9, 4, 7])
