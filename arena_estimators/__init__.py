"""scikit-learn estimators that predict which of two responses a person prefers.

Every public name is imported when it is first used, so that `import arena_estimators` stays as
light as `import sklearn` and loads neither torch, transformers, skorch nor nltk.
"""

from arena_estimators._lazy import attach

__version__ = "0.1.0"

_MODULE_OF = {
    "ArenaError": "exceptions",
    "ArenaWarning": "exceptions",
    "AugmentingClassifier": "ensemble",
    "BattlesError": "exceptions",
    "BertPairClassifier": "neural_network",
    "BlendingClassifier": "ensemble",
    "CachedTransformer": "feature_extraction",
    "DavidsonClassifier": "linear_model",
    "DistillingClassifier": "ensemble",
    "EarlyStoppingClassifier": "ensemble",
    "FileFormatError": "exceptions",
    "LabelsError": "exceptions",
    "MissingExtraError": "exceptions",
    "NLTKCleaner": "preprocessing",
    "PairEmbeddings": "feature_extraction",
    "PairStyleFeatures": "feature_extraction",
    "PairTfidfVectorizer": "feature_extraction",
    "PromptGroupKFold": "model_selection",
    "PromptGroupShuffleSplit": "model_selection",
    "ResourceNotFoundError": "exceptions",
    "SubmissionError": "exceptions",
    "SwapSymmetricClassifier": "ensemble",
    "check_battles": "battles",
    "check_labels": "battles",
    "expected_calibration_error": "metrics",
    "iter_arena": "datasets",
    "load_arena": "datasets",
    "make_arena_pipeline": "pipelines",
    "make_battles": "datasets",
    "make_submission": "datasets",
    "parametrize_with_battle_checks": "utils.estimator_checks",
    "prompt_groups": "model_selection",
    "soften_labels": "ensemble",
    "swap": "battles",
    "swap_inconsistency": "metrics",
    "swap_proba": "battles",
    "write_submission": "datasets",
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULE_OF)
