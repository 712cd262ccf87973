"""
How much does length decide a vote?
===================================

People tend to prefer the longer response. Because :func:`~arena_estimators.make_battles` draws its
votes from a Davidson model whose coefficients it returns, we can check that
:class:`~arena_estimators.DavidsonClassifier` finds the true effect of length and treats both sides
alike.
"""

# %%
# Battles with a known preference for length
# ------------------------------------------
import matplotlib.pyplot as plt
import numpy as np

from arena_estimators import DavidsonClassifier, make_battles

data = make_battles(3000, length_effect=1.0, style_effect=0.3, random_state=0)
print(*data.X.iloc[0], sep="\n---\n")

# %%
# The model finds the truth
# -------------------------
model = DavidsonClassifier(alpha=0, tie_alpha=0).fit(data.D, data.y)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
position = np.arange(len(data.coef_))
ax.barh(position - 0.2, data.coef_, height=0.4, label="true")
ax.barh(position + 0.2, model.coef_, height=0.4, label="fitted")
ax.set(yticks=position, yticklabels=data.D.columns, xlabel="weight in the strength gap")
ax.invert_yaxis()
ax.legend()
plt.show()

# %%
# The same picture from either side
# ---------------------------------
# We vary the difference of log lengths alone. The two curves of the winners mirror each other
# exactly, and ties are most likely where the responses are equally long.
gap = np.linspace(-3, 3, 121)
D = np.zeros((len(gap), data.D.shape[1]))
D[:, list(data.D.columns).index("log_length")] = gap
proba = DavidsonClassifier().fit(data.D.to_numpy(), data.y).predict_proba(D)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for column, name in enumerate(model.classes_):
    ax.plot(gap, proba[:, column], label=name)
ax.set(xlabel="log length of a minus log length of b", ylabel="probability", ylim=(0, 1))
ax.legend()
plt.show()
