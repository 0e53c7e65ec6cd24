"""Keeps the index in step with the database.

indexer.py      what jobs and commands call
writer.py       the index lock, under which one reads rows and writes vectors
passes.py       writing what is marked, and writing everything
promotion.py    filling a version's space, having it answer, forgetting what nobody needs
reindex.py      the reindex job: compare, write, verify, search
comparison.py   database and index compared by ids and by content
smoke.py        searches that show whether a space answers
isolation.py    a subject at fault told from a service that is down
"""
