"""Measures a twin the way its promises read: later in time, against baselines, with intervals.

``protocols`` says which properties are ranked for whom, ``baselines`` and ``naive`` are what a twin
has to beat, ``metrics`` and ``intervals`` turn rankings into figures, ``evaluate`` runs it all,
``figures`` and ``report`` show it. Needs the optional extra ``evaluation``.
"""
