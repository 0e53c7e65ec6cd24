"""Long proofs on real processes: that all stays up, stays consistent and comes back by itself.

soak.py       everything goes on while models change
chaos.py      processes are killed at random points
data.py       a made-up firm
world.py      two firms, the services and the server's processes in a folder of their own
api.py        the questions, and whoever asks them
clients.py    investors who ask and judge, and a firm that keeps writing
ledger.py     what they were told and what was acknowledged
figures.py    what each version gives, computed anew
verdict.py    whether all of that is true in the end
victims.py    which processes there are to kill
"""
