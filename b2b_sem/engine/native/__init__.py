"""The native engine: implied moments, loss, optimiser and information, each on its own."""
