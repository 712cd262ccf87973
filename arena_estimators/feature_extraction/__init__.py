"""Pair transformers: battles in, numbers out."""

from arena_estimators.feature_extraction._cached import CachedTransformer
from arena_estimators.feature_extraction._pair_embeddings import PairEmbeddings
from arena_estimators.feature_extraction._pair_style import PairStyleFeatures
from arena_estimators.feature_extraction._pair_tfidf import PairTfidfVectorizer

__all__ = ["CachedTransformer", "PairEmbeddings", "PairStyleFeatures", "PairTfidfVectorizer"]
