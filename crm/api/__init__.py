"""The REST interface of the ground floor, and the rules every resource follows."""
