"""How contacts arrive from files: parse (pure), validate, apply."""
