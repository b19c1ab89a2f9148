"""The HTTP service: jobs, their store, streaming."""
