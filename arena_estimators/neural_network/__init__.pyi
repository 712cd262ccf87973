from ._bert_pair import BertPairClassifier as BertPairClassifier
from ._training_options import TrainingOptions as TrainingOptions
