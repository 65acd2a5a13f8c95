"""Which mail was opened and which links were followed, by people or by machines, with nobody sent elsewhere."""
