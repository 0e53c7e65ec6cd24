"""All tables, imported in one place so that the metadata is complete."""

from domain.changes.changes import Change
from domain.core.base import Base
from domain.core.leases import Lease
from domain.imports.record import Import
from domain.imports.reso.feeds import ResoFeed
from domain.interactions.interactions import Interaction
from domain.jobs.index_outbox import IndexMark
from domain.jobs.job_runs import JobRun
from domain.jobs.property_log import PropertyChange
from domain.model_registry.drift import DriftMeasurement
from domain.model_registry.model_versions import ModelVersion
from domain.properties.table import Property
from domain.tenants.experiments import Experiment
from domain.tenants.tenants import Tenant
from domain.users.users import User

__all__ = [
    "Base",
    "Change",
    "DriftMeasurement",
    "Experiment",
    "Import",
    "IndexMark",
    "Interaction",
    "JobRun",
    "Lease",
    "ModelVersion",
    "Property",
    "PropertyChange",
    "ResoFeed",
    "Tenant",
    "User",
]
