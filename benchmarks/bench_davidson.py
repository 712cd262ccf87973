"""How fast is DavidsonClassifier beside LogisticRegression on `[D, |D|]`, at what log loss?

Both read the same word (1, 2) TF-IDF differences of the first fold of judge_unique. Each has the
penalty that is best for it among a few on the held-out fold, so neither is held back. The floor of
an iteration is four passes over the non-zeros of D (D w, |D| v and their transposes), 8 bytes each.
"""

import statistics
import time

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from arena_estimators import DavidsonClassifier
from arena_estimators.battles import texts
from benchmarks import _battles
from benchmarks._harness import data_folder, report


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    X, y = _battles.read(folder)
    train, test = next(_battles.CV.split(X))
    tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float32)
    tfidf.fit(texts(X.response_a.iloc[train]) + texts(X.response_b.iloc[train]))
    D = tfidf.transform(texts(X.response_a)) - tfidf.transform(texts(X.response_b))
    both = hstack([D, abs(D)], format="csr")
    candidates = [
        ("DavidsonClassifier", D, DavidsonClassifier(alpha, tie_alpha=1e-4))
        for alpha in (5e-6, 1e-5, 2e-5)
    ]
    candidates += [
        ("LogisticRegression on [D, |D|]", both, LogisticRegression(C=C, max_iter=1000))
        for C in (1, 3, 10)
    ]
    rows = []
    for name, matrix, model in candidates:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            model.fit(matrix[train], y[train])
            times.append(time.perf_counter() - start)
        loss = log_loss(y[test], model.predict_proba(matrix[test]))
        strength = f"alpha={model.alpha}" if hasattr(model, "alpha") else f"C={model.C}"
        row = {"model": name, "penalty": strength, "fit, s": statistics.median(times)}
        row["iterations"] = int(np.max(model.n_iter_))
        rows.append(row | {"log loss": round(float(loss), 4)})
    best = {
        name: min((r for r in rows if r["model"] == name), key=lambda r: r["log loss"])
        for name in {row["model"] for row in rows}
    }
    ratio = best[candidates[-1][0]]["fit, s"] / best[candidates[0][0]]["fit, s"]
    note = f"{D.shape[1]:,} features, {D.nnz:,} non-zeros; each at its best penalty, ours is "
    report("davidson", rows, f"{note}{ratio:.1f} times faster.")


if __name__ == "__main__":
    main()
