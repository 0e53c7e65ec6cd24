"""Imports of properties and interactions from CSV and JSON Lines files of any length."""
