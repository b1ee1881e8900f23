"""Models of documents with labels, each of them `prepare(training, params, ctx) -> Trainable`, whose models are those
of `worker.kinds.labels.ranking`."""
