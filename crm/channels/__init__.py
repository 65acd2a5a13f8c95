"""Everything that leaves the machine: mail and HTTP."""
