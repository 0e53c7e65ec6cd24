"""All tables, imported in one place so that the metadata is complete."""

from domain.base import Base
from domain.drift import DriftMeasurement
from domain.experiments import Experiment
from domain.indexing import IndexMark
from domain.interactions import Interaction
from domain.job_runs import JobRun
from domain.leases import Lease
from domain.model_versions import ModelVersion
from domain.properties import Property
from domain.tenants import Tenant
from domain.users import User

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
    "Tenant",
    "User",
]
