"""Keeping an installation: a snapshot of database and files in one archive, and the way back from it."""
