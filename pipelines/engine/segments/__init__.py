"""Segments that a rule keeps: what a rule says, who meets it, and how membership follows."""
