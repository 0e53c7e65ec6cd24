"""Recommendations, similar properties and affinity: the rules between the twin and its users.

With an active version and a positive history the twin ranks. Without either, the tenant's
engagement, the investor's buy box and what properties have in common do, and every answer says so.
"""
