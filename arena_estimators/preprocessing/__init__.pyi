from ._nltk_cleaner import NLTKCleaner as NLTKCleaner
