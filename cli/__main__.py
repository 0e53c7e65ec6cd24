"""``python -m cli`` is ``twin``."""

from cli import app

app(prog_name="twin")
