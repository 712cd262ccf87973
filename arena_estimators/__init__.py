"""scikit-learn estimators that predict which of two responses a person prefers.

Every public name is imported when it is first used, so that `import arena_estimators` stays as
light as `import sklearn` and loads neither torch, transformers, skorch nor nltk.
"""

from typing import TYPE_CHECKING

from arena_estimators._lazy import attach

__version__ = "0.2.0"

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
    "TrainingOptions": "neural_network",
    "check_battles": "battles",
    "check_labels": "battles",
    "declare_tags": "utils",
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

if TYPE_CHECKING:  # what editors and type checkers see; a test compares it with _MODULE_OF
    from arena_estimators import (
        battles,
        datasets,
        ensemble,
        exceptions,
        feature_extraction,
        linear_model,
        metrics,
        model_selection,
        neural_network,
        pipelines,
        preprocessing,
        utils,
    )
    from arena_estimators.battles import check_battles, check_labels, swap, swap_proba
    from arena_estimators.datasets import (
        iter_arena,
        load_arena,
        make_battles,
        make_submission,
        write_submission,
    )
    from arena_estimators.ensemble import (
        AugmentingClassifier,
        BlendingClassifier,
        DistillingClassifier,
        EarlyStoppingClassifier,
        SwapSymmetricClassifier,
        soften_labels,
    )
    from arena_estimators.exceptions import (
        ArenaError,
        ArenaWarning,
        BattlesError,
        FileFormatError,
        LabelsError,
        MissingExtraError,
        ResourceNotFoundError,
        SubmissionError,
    )
    from arena_estimators.feature_extraction import (
        CachedTransformer,
        PairEmbeddings,
        PairStyleFeatures,
        PairTfidfVectorizer,
    )
    from arena_estimators.linear_model import DavidsonClassifier
    from arena_estimators.metrics import expected_calibration_error, swap_inconsistency
    from arena_estimators.model_selection import (
        PromptGroupKFold,
        PromptGroupShuffleSplit,
        prompt_groups,
    )
    from arena_estimators.neural_network import BertPairClassifier, TrainingOptions
    from arena_estimators.pipelines import make_arena_pipeline
    from arena_estimators.preprocessing import NLTKCleaner
    from arena_estimators.utils import declare_tags
    from arena_estimators.utils.estimator_checks import parametrize_with_battle_checks
else:  # hidden from them: a module with __getattr__ seems to have any misspelt name
    __getattr__, __dir__, __all__ = attach(__name__, _MODULE_OF)
