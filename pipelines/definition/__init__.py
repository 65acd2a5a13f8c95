"""The language of pipelines: documents, conditions, templates and times, free of any framework."""
