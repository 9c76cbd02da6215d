"""What the service asks of a store, an embedder, an extractor: typing.Protocol and plain values, nothing else."""
