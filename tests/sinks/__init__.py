"""Servers on this machine that write down what they received: what arrived is the only proof of what was sent."""
