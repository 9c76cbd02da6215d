"""What requests and answers look like: pydantic models, whose fields are those of `api.shapes` and `sync.reports`."""
