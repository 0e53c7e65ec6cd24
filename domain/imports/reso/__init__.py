"""Feeds of listings from a RESO Web API: an OData service, read page by page."""
