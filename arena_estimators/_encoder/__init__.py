"""Find, load, tokenise, pack and run a Hugging Face encoder.

Private: `PairEmbeddings` and `BertPairClassifier` share it. Importing this package loads neither
torch nor transformers; the modules that load or run a model do. One module per step:

    folder = find_encoder("sentence-transformers/all-MiniLM-L6-v2")     # _find
    tokenizer, model = load_tokenizer(folder), load_encoder(folder)      # _load
    tokenised = tokenise(X, tokenizer, layout="siamese", max_length=256) # _tokenise
    pooled = encode(model, tokenised.sequences, pooling="mean")          # _run
    first, second = pooled[tokenised.rows[:, 0]], pooled[tokenised.rows[:, 1]]
"""
