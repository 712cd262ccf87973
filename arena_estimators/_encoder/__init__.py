"""Find, load, tokenise, pack and run a Hugging Face encoder."""
