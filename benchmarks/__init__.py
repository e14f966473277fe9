"""What the README's figures come from: one module a question, `python -m benchmarks.rounds --help` for instance."""
