"""Find, load, tokenise, pack and run a Hugging Face encoder.

Private: `PairEmbeddings` and `BertPairClassifier` share it. Importing this package loads neither
torch nor transformers; its modules, one a step, do. The road through them:

    folder = find_encoder("sentence-transformers/all-MiniLM-L6-v2")     # _find
    tokenizer, model = load_tokenizer(folder), load_encoder(folder)      # _load
    tokenised = tokenise(X, tokenizer, layout="siamese", max_length=256) # _tokenise
    pooled = encode(model, tokenised.sequences, pooling="mean")          # _run
    first, second = pooled[tokenised.rows[:, 0]], pooled[tokenised.rows[:, 1]]

`_find`
    `find_encoder(encoder) -> str`, `DEFAULT_ENCODER`. No torch, never waits for a dead network.
`_load`
    `load_tokenizer(folder)`, `load_encoder(folder, *, attention="auto")`,
    `load_config(folder)`, `default_pooling(config, folder=None)`, `width_of(config)`,
    `longest_input(config)`, `is_decoder(config)`.
`_tokenise`
    `tokenise(X, tokenizer, *, layout, max_length, prompt_share, truncation) -> Tokenised` with
    `sequences` (`Sequences`: flat `ids`, `offsets`, `types`, `lengths`), `rows` of shape
    (n_battles, 2) and `report` (a DataFrame). Siamese rows point at the sequences (prompt, a) and
    (prompt, b); cross rows at the orders (a, b) and (b, a).
`_batches`
    `batches(lengths, *, batch_tokens, shuffle=False, random_state=None, packed=False)` -> list of
    index arrays.
`_run`
    `pad(sequences, indices)` and `pack(sequences, indices, budget, ...)` -> dict of CPU tensors;
    `forward(model, inputs, *, pooling)` -> (n, hidden) for both, with gradients;
    `encode(model, sequences, *, pooling, device, ...)` -> float32 ndarray, without.
`_frozen`
    `FrozenEncoder(folder)`: all of the above for an encoder that is not trained, on demand.
`_attention`
    `supports_packing(model, config)`, `can_pack(model, device, dtype)`; the attention itself.
"""
