"""Fine-tuned encoders as classifiers of battles."""
