"""Imports of properties and interactions from CSV and JSON Lines files of any length."""

from domain.imports.interactions import import_interactions
from domain.imports.properties import import_properties
from domain.imports.report import ImportRefusedError, ImportReport, Problem, StrictImportError

__all__ = [
    "ImportRefusedError",
    "ImportReport",
    "Problem",
    "StrictImportError",
    "import_interactions",
    "import_properties",
]
