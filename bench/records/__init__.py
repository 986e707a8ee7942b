"""The nouns of the house: frozen, SI inside, the unit in the name. No behaviour but invariants.

``journal`` holds the raw facts of a run, ``run`` what is derived from them,
``market`` the dated facts of the world and the decision drawn from both.
"""
