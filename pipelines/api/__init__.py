"""The resources of this app in the API."""
