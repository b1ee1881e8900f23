"""The engine: ingest, distillers, learners and evidence, run one attempt per child process."""
