"""
Which model is strongest, or is it its style?
=============================================

A leaderboard is a :class:`~arena_estimators.DavidsonClassifier` whose features only say who played:
what it fits are the models' ratings. With measures of style beside them, the ratings are what they
would be if the models wrote alike, which is known as style control. The battles here are invented,
and some of the models in them are only long-winded; for your own, use ``load_arena(file)`` and
leave out the last section, as the truth is known only for invented battles.
"""

# %%
# Who played
# ----------
# One column per model: 1 where it was *a*, -1 where it was *b*. Exchanging the sides negates it.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from arena_estimators import DavidsonClassifier, PairStyleFeatures, make_battles, prompt_groups

data = make_battles(4000, random_state=0)
played = pd.get_dummies(data.model_a, dtype=float)
played = played.sub(pd.get_dummies(data.model_b, dtype=float), fill_value=0)

# %%
# What the responses look like
# ----------------------------
# Length, headers, lists and bold text are what is used to control leaderboards for style. Odd
# features are scaled and never centred.
looks = ["log_characters", "headers", "ordered_items", "bullet_items", "bold"]
style = PairStyleFeatures("difference").set_output(transform="pandas").fit_transform(data.X)
style = style[[f"difference__{name}" for name in looks]]
style = StandardScaler(with_mean=False).set_output(transform="pandas").fit_transform(style)


# %%
# Two leaderboards
# ----------------
# Ratings are in the unit of chess: 400 points more mean ten wins to one loss; the mean is 1000.
# The intervals resample the prompts, because the battles of a prompt are not independent.
def ratings(features, sample_weight=None):
    model = DavidsonClassifier(1e-5, tie_alpha="auto").fit(features, data.y, sample_weight)
    strength = pd.Series(model.coef_, model.feature_names_in_)[played.columns]
    return 1000 + 400 / np.log(10) * (strength - strength.mean())


def intervals(features, n_draws=50):
    rng = np.random.default_rng(0)
    groups = prompt_groups(data.X)
    n_groups = groups.max() + 1
    draws = [
        ratings(features, rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[groups])
        for _ in range(n_draws)
    ]
    return pd.DataFrame(draws).quantile([0.025, 0.975])


boards = {"as voted": played, "given style": played.join(style)}
rated = pd.DataFrame({name: ratings(features) for name, features in boards.items()})
rated = rated.sort_values("given style")
print(rated.round(0).iloc[::-1])

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for shift, (name, features) in zip((0.15, -0.15), boards.items(), strict=True):
    low, high = intervals(features)[rated.index].to_numpy()
    reach = [rated[name] - low, high - rated[name]]
    ax.errorbar(rated[name], np.arange(len(rated)) + shift, xerr=reach, fmt="o", label=name)
ax.set(yticks=np.arange(len(rated)), yticklabels=rated.index, xlabel="rating")
ax.legend()
plt.show()

# %%
# Which of the two is right?
# --------------------------
# The votes were drawn from known weights, so we know what is left of each model's strength when
# responses look alike: how seldom it refuses, and how well it keeps to the subject.
able = data.D[["refusal", "on_topic"]] @ data.coef_[-2:]
true = np.linalg.lstsq(played, able)[0] * 400 / np.log(10)
true += 1000 - true.mean()
errors = rated.sub(pd.Series(true, played.columns), axis=0).abs().mean()
print(f"Points off, on average: {errors.round().to_dict()}")
