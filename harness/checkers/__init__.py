"""One question per file: history and what the cloud says in, verdict out."""
