"""Outgoing webhooks: who hears what, and how it is delivered."""
