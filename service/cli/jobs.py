"""``breast-cascade jobs``: jobs on a running service, from the command line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from service.batch import pictures
from service.cli.client import Job, Server, read_key
from service.cli.terminal import FAILED_INPUT, bar, job_bar, pair, stderr, stdout, table, usage
from service.errors import BadParameter, CapacityError, InputError
from service.jobs.model import FINAL_JOB_STATES

HELP = """Jobs on a running service: many files in, one folder of answers out.

Example: **breast-cascade jobs submit scans/ --pipeline ultrasound --watch**, then **breast-cascade jobs results ID -o
out**. The service is found by --url or BREAST_CASCADE_URL, the key for it, where it wants one, by --key-file or
BREAST_CASCADE_KEY_FILE.

Exit codes: 0 all well; 1 the service refused, or some item failed; 2 the command was wrong; 3 no such service.
"""
Url = Annotated[str, typer.Option(envvar="BREAST_CASCADE_URL", help="Where the service is.")]
KeyFile = Annotated[
    Path | None, typer.Option(envvar="BREAST_CASCADE_KEY_FILE", dir_okay=False, help="File that holds the key.")
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Of the job.")]
AsJson = Annotated[bool, typer.Option("--json", help="The service's own JSON, on one line of stdout.")]
HERE = "http://127.0.0.1:8000"

app = typer.Typer(help=HELP, no_args_is_help=True)


@app.command()
def submit(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH", help="Files, and folders of pictures.")],
    pipeline: Annotated[str, typer.Option(help="Needed where several are installed.")] = "",
    outputs: Annotated[str, typer.Option(metavar="FORMAT,...", help="Formats of each answer; json else.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of POST /segment.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the end of the job.")] = False,
    as_json: AsJson = False,
    url: Url = HERE,
    key_file: KeyFile = None,
) -> None:
    """Send files as one job and print its id.

    Example: **breast-cascade jobs submit scans/ more.zip --outputs json,mask --set threshold=0.4**
    """
    files = usage(lambda: _named(paths))
    fields = [("pipeline", pipeline), ("outputs", outputs), *map(pair, parameters or [])]
    with _server(url, key_file) as server:
        with bar("Sending", sum(path.stat().st_size for _, path in files)) as moved:
            job = server.submit(files, [field for field in fields if field[1]], moved)
        typer.echo(json.dumps(job) if as_json else job["id"])
        if watch:
            _follow(server, job["id"])


@app.command(name="list")
def listing(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: AsJson = False,
    url: Url = HERE,
    key_file: KeyFile = None,
) -> None:
    """List your jobs, the latest first."""
    with _server(url, key_file) as server:
        found = server.get("/jobs", limit=limit, offset=offset)
    if as_json:
        typer.echo(json.dumps(found))
        return
    listed = table("id", "state", "pipeline", "done", "failed", "created (UTC)")
    for job in found["jobs"]:
        name = f"{job['pipeline']} {job['version']}"
        listed.add_row(job["id"], job["state"], name, _done(job), str(job["failed"]), job["created"][:19])
    stdout().print(listed)


@app.command()
def show(
    job_id: JobId,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 1000,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: AsJson = False,
    url: Url = HERE,
    key_file: KeyFile = None,
) -> None:
    """Show a job and one page of its items."""
    with _server(url, key_file) as server:
        job = server.get(f"/jobs/{_checked(job_id)}", limit=limit, offset=offset)
    if as_json:
        typer.echo(json.dumps(job))
        return
    typer.echo(f"{job['id']} {job['state']}, {_done(job)} items, {job['failed']} failed")
    items = table("n", "name", "state", "problem")
    for item in job["items"]:
        items.add_row(str(item["n"]), escape(item["name"]), item["state"], escape(_said(item["problem"])))
    stdout().print(items)


@app.command()
def watch(job_id: JobId, url: Url = HERE, key_file: KeyFile = None) -> None:
    """Follow a job to its end. Exit code 0 only where all of it succeeded."""
    with _server(url, key_file) as server:
        _follow(server, _checked(job_id))


@app.command()
def results(
    job_id: JobId,
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder, or a file that ends with .zip.")],
    url: Url = HERE,
    key_file: KeyFile = None,
) -> None:
    """Fetch the results of a job that has ended: findings.csv, report.json and each item's answers.

    Example: **breast-cascade jobs results ID -o out**
    """
    packed = output.suffix == ".zip"
    target = output if packed else output / "results.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _server(url, key_file) as server:
        server.download(f"/jobs/{_checked(job_id)}/results", target)
    if not packed:
        with zipfile.ZipFile(target) as archive:
            archive.extractall(output)  # which keeps every name below the folder
        target.unlink()
    typer.echo(str(output))


@app.command()
def cancel(job_id: JobId, url: Url = HERE, key_file: KeyFile = None) -> None:
    """Cancel a job. What is done stays, and can be fetched."""
    with _server(url, key_file) as server:
        typer.echo(server.post(f"/jobs/{_checked(job_id)}/cancel")["state"])


@app.command()
def erase(job_id: JobId, url: Url = HERE, key_file: KeyFile = None) -> None:
    """Cancel a job, then erase its input and its results. Nothing brings them back."""
    with _server(url, key_file) as server:
        server.delete(f"/jobs/{_checked(job_id)}")


@contextmanager
def _server(url: str, key_file: Path | None) -> Iterator[Server]:
    """What the service refuses ends the command with a line on stderr."""
    try:
        yield Server(url.rstrip("/"), read_key(key_file))
    except CapacityError as error:
        stderr.print(f"{error} (Retry-After: {error.retry_after} s)", markup=False)
        raise typer.Exit(FAILED_INPUT) from error
    except InputError as error:
        stderr.print(str(error), markup=False)
        raise typer.Exit(FAILED_INPUT) from error


def _follow(server: Server, job_id: str) -> None:
    job: Job = server.get(f"/jobs/{job_id}", limit=1)
    with job_bar() as show:
        news = iter([job]) if job["state"] in FINAL_JOB_STATES else server.events(job_id)
        for job in news:
            show(job["progress"]["done"], job["progress"]["total"], job["progress"]["stage"])
    stderr.print(f"{job['state']}: {_done(job)} items, {job['failed']} failed", markup=False)
    if job["state"] != "succeeded":
        raise typer.Exit(FAILED_INPUT)


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """(name, file) of everything named; in folders what begins like a picture."""
    several = len(paths) > 1
    found = [(place.as_posix(), file) for path in paths for file, place in pictures(path, None, several=several)]
    if not found:
        raise BadParameter("no picture", "at least one", "Name files, or a folder that holds pictures.")
    return found


def _checked(job_id: str) -> str:
    if not job_id.isalnum() or not job_id.isascii():
        raise typer.BadParameter(
            f"Found the id {job_id!r:.60}; wanted letters and digits. See breast-cascade jobs list."
        )
    return job_id


def _done(job: Any) -> str:
    return f"{job['progress']['done']}/{job['progress']['total']}"


def _said(problem: Any) -> str:
    return f"{problem['found']}; wanted {problem['wanted']}" if problem else ""
