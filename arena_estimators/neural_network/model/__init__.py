"""What a fitted BertPairClassifier is made of: it reads battles, predicts and is saved."""
