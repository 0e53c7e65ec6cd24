"""Commands that run until they are stopped, and ``migrate``."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import settings
import telemetry
from cli import serving, supervision
from cli.console import JsonOption, say_json
from cli.session import SupervisedOption, keep_services, run_on_database, start_services


class Queue(StrEnum):
    """What a worker works off."""

    ALL = "all"
    INDEXING = "indexing"
    TRAINING = "training"


def serve(
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
    sample: Annotated[
        bool, typer.Option(help="Load the sample on the first start, unless DATABASE_URL is set.")
    ] = True,
) -> None:
    """Run the server and its workers; on a machine without the services, start those too."""
    loaded = settings.load()
    port = serving.usable_port(loaded.host, loaded.port)
    # In production the data folder is not used.
    with nullcontext() if loaded.production else serving.sole_server(loaded.data_dir):
        serving.serve(loaded, port, workers, sample=sample)


def sample(supervised: SupervisedOption = False) -> None:
    """Load the sample and request a training on it: ``twin serve`` runs this."""
    if supervised:
        # As Ctrl-C does, so that the terminal gets back the cursor that a bar hides.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        supervision.end_with_parent(signal.SIGTERM)
    from cli.first_start import prepare_sample

    run_on_database(lambda database, _: prepare_sample(database))


def api(host: str, port: int, workers: int, supervised: SupervisedOption = False) -> None:
    """Answer requests, without workers: ``twin serve`` runs this."""
    import uvicorn

    from graph.server.http.messages import MAX_MESSAGE

    if supervised:
        supervision.end_with_parent(signal.SIGTERM)
    loaded = settings.load()
    telemetry.configure_log(loaded)
    with _counting_together() if workers > 1 else nullcontext():
        uvicorn.run(
            "graph.app:create_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=None,
            log_level=loaded.log_level,
            # The server has a log of its requests, with their ids.
            access_log=False,
            timeout_graceful_shutdown=5,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            # Sockets have a heartbeat of their own; and compression would cost each some 100 KiB.
            ws_ping_interval=None,
            ws_per_message_deflate=False,
        )


@contextmanager
def _counting_together() -> Iterator[None]:
    """Have the processes of a server count where each can tell what all of them counted.

    Prometheus's client looks for the folder when it is imported: the processes do that later.
    """
    with TemporaryDirectory(prefix="twin-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def worker(
    queue: Annotated[Queue, typer.Option(help="Which jobs to do.")] = Queue.ALL,
    supervised: SupervisedOption = False,
) -> None:
    """Run the workers: indexing and training, each in a process of its own."""
    if supervised:
        supervision.end_with_parent(signal.SIGTERM)
    if queue is Queue.ALL:
        keep_up = partial(keep_services, *start_services())
        supervision.run_together(supervision.WORKERS, keep_up=keep_up)
        return
    from arq.worker import run_worker

    from jobs import worker as jobs_worker

    telemetry.configure(settings.load(), f"{queue.value}-worker")
    training = queue is Queue.TRAINING
    found = jobs_worker.TrainingWorkerSettings if training else jobs_worker.WorkerSettings
    run_worker(found)


def migrate(as_json: JsonOption = False) -> None:
    """Bring the database to the newest migration, as the role of MIGRATION_DATABASE_URL."""
    import runtime

    runtime.migrate(runtime.services(settings.load()))
    if as_json:
        say_json({"revision": runtime.latest_revision()})
