"""Joules and prices into money: the formulas, in SI and USD, pure. No profile is read here."""
