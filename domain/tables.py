"""All tables, imported in one place so that the metadata is complete."""

from domain.core.base import Base
from domain.core.leases import Lease
from domain.imports.reso.feeds import ResoFeed
from domain.interactions.interactions import Interaction
from domain.jobs.index_outbox import IndexMark
from domain.jobs.job_runs import JobRun
from domain.model_registry.drift import DriftMeasurement
from domain.model_registry.model_versions import ModelVersion
from domain.properties.table import Property
from domain.tenants.experiments import Experiment
from domain.tenants.tenants import Tenant
from domain.users.users import User

__all__ = [
    "Base",
    "DriftMeasurement",
    "Experiment",
    "IndexMark",
    "Interaction",
    "JobRun",
    "Lease",
    "ModelVersion",
    "Property",
    "ResoFeed",
    "Tenant",
    "User",
]
