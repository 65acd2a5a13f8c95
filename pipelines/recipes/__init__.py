"""Pipelines that others build most, each a document that promises what it does, to be made one's own."""
