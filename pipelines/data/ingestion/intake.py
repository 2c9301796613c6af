"""One run over a source: which files are new, staged one by one, committed in groups."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops.errors import Conflict, InputError, NotFound, Refused
from pipelines.data.commits import commit
from pipelines.data.folders import Folders, parse_folders
from pipelines.data.ingestion.listing import Expected, Listing, list_source
from pipelines.data.ingestion.runs import FAILED, FileReport, State
from pipelines.data.ingestion.sources import Source, SourceFile
from pipelines.data.ledger import Arrival, Ledger, load_ledger
from pipelines.data.manifests import ImportManifest
from pipelines.data.reading import open_payments, readable, sha256
from pipelines.data.staging import Progress, stage
from pipelines.data.store import Store, publish
from pipelines.data.units import Committed, ImportOptions, Unit

_FILE_FAULTS = (InputError, NotFound, Conflict, Refused)
"""They concern one file; any other error ends the run."""
_ANOTHER_REFUSED = "Another file that it must come in with was refused."


@dataclass(frozen=True)
class IngestOptions:
    """How a source is to be taken in."""

    imports: ImportOptions
    known_as: str | None = None
    """What the source is called in the ledger; its address by default."""
    format: str = "auto"
    day_folder: str | None = "day"
    """The folder that names the day of event times."""
    require_success: bool = False
    all_or_nothing: bool = False
    whole_folders: bool = False
    """Whether a folder with new files holds all that it should: what it had before is past."""
    most_files: int = 10_000
    most_file_bytes: int = 4 << 30
    group_files: int = 500
    group_bytes: int = 2 << 30


@dataclass(frozen=True)
class _Read:
    """A file that is staged and waits for its group's commit."""

    file: SourceFile
    unit: Unit
    seconds: float


@dataclass
class _Group:
    """What is committed together."""

    scratch: Path
    ledger: Ledger
    """As it was when the group began; the commit looks again."""
    read: list[_Read] = field(default_factory=list)
    seen: dict[str, Arrival] = field(default_factory=dict)
    """Names whose content is current already."""
    files: dict[str, SourceFile] = field(default_factory=dict)
    """Everything that was looked at, by name."""
    bytes: int = 0

    def unit_of(self, content: str) -> Unit | None:
        return next((r.unit for r in self.read if r.unit.arrival.sha256 == content), None)

    def only(self, keep: Callable[[SourceFile], bool]) -> tuple[list[_Read], dict[str, Arrival]]:
        """What is read and what is seen, of some files."""
        read = [one for one in self.read if keep(one.file)]
        return read, {n: arrival for n, arrival in self.seen.items() if keep(self.files[n])}


class Intake:
    """One run over a source."""

    def __init__(
        self,
        source: Source,
        options: IngestOptions,
        store: Store,
        scratch: Path,
        progress: Progress,
    ) -> None:
        self._source = source
        self._options = options
        self._store = store
        self._scratch = scratch
        self._progress = progress
        self._base = f"{options.known_as.rstrip('/')}/" if options.known_as else source.uri
        self._listing = Listing((), {}, frozenset())
        self.reports: dict[str, FileReport] = {}
        self.unchanged = 0
        self.retracted = 0
        self._done = self._total = 0

    def run(self) -> None:
        """Take in what is new.

        What is refused since another file has its payments is tried again at the end, as long as
        files are corrected: a payment may have moved from one to the other.
        """
        ledger, _ = load_ledger(self._store.documents)
        if ledger.commits and not self._options.imports.dry_run:
            publish(self._store)
        self._listing = list_source(self._source, self._scratch)
        self._report_missing(ledger)
        waiting = self._candidates(ledger)
        self._refuse_too_many(waiting)
        while waiting:
            before, self._done, self._total = self.retracted, 0, len(waiting)
            again = [file for group in self._groups(waiting) for file in group]
            waiting = again if self.retracted > before else []

    # What there is to do

    def _report_missing(self, ledger: Ledger) -> None:
        """What a control file names must be there, or have been taken in before."""
        for path in self._listing.missing():
            if f"{self._base}{path}" not in ledger.files:
                error = "A control file names it, and it is not there."
                self.reports[path] = FileReport(path=path, state="missing", error=error)

    def _candidates(self, ledger: Ledger) -> list[SourceFile]:
        found = []
        for file in self._listing.files:
            if self._has_its_etag(file, ledger):
                self.unchanged += 1
            elif self._options.require_success and not self._listing.is_finished(file):
                self._report(file, "waiting", error="Its folder has no _SUCCESS yet.")
            else:
                found.append(file)
        return found

    def _has_its_etag(self, file: SourceFile, ledger: Ledger) -> bool:
        seen = ledger.files.get(self._name(file))
        if seen is None or not file.etag or (seen.etag, seen.size) != (file.etag, file.size):
            return False
        return ledger.holding(seen.sha256) is not None

    def _refuse_too_many(self, files: Sequence[SourceFile]) -> None:
        most = self._options.most_files
        if len(files) > most:
            raise InputError(
                f"{self._source.uri} holds {len(files):,} files that are not imported, more than "
                f"{most:,}. Take in a part of it at a time, or allow more: --max-files. Very many "
                "small files are slow to query; have the export write larger ones."
            )

    # Groups

    def _groups(self, files: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
        """Commit the files group by group; yields those of each that may be tried again."""
        group, last = self._new_group(), None
        for file in files:
            if self._is_full(group) and not self._belong_together(last, file):
                yield self._finish(group)
                group = self._new_group()
            self._take(file, group)
            last = file
        yield self._finish(group)

    def _new_group(self) -> _Group:
        ledger, _ = load_ledger(self._store.documents)
        return _Group(Path(tempfile.mkdtemp(dir=self._scratch)), ledger)

    def _is_full(self, group: _Group) -> bool:
        files = len(group.read) + len(group.seen)
        return files >= self._options.group_files or group.bytes >= self._options.group_bytes

    def _belong_together(self, one: SourceFile | None, other: SourceFile) -> bool:
        in_folder = one is not None and one.folder == other.folder
        return self._options.all_or_nothing or (self._options.whole_folders and in_folder)

    def _take(self, file: SourceFile, group: _Group) -> None:
        started = time.monotonic()
        self.reports.pop(file.path, None)
        group.files[self._name(file)] = file
        try:
            unit = self._stage(file, group)
        except _FILE_FAULTS as exc:
            self._report(file, "refused", error=str(exc))
            return
        finally:
            self._done += 1
            self._progress("files", self._done, self._total)
        if unit is not None:
            group.read.append(_Read(file, unit, round(time.monotonic() - started, 3)))
            group.bytes += file.size

    def _stage(self, file: SourceFile, group: _Group) -> Unit | None:
        """The file as a unit; None where its content is there already, or in the group."""
        self._refuse_too_large(file)
        with self._source.opened(file, group.scratch) as path:
            with readable(file.uri):
                content = sha256(path)
            arrival = Arrival(sha256=content, size=file.size, etag=file.etag)
            expected = self._expected(file, arrival)
            if self._is_here(file, arrival, group):
                return None
            folders = Folders(parse_folders(file.uri), self._options.day_folder)
            opened = open_payments(
                path, label=file.uri, format_=self._options.format, folders=folders
            )
            staged = stage(
                opened,
                self._options.imports.rules,
                group.scratch / f"file-{self._done}",
                self._progress,
            )
        _check_rows(expected, staged.rows_read)
        return Unit(self._name(file), {self._name(file): arrival}, staged, opened.schema)

    def _is_here(self, file: SourceFile, arrival: Arrival, group: _Group) -> bool:
        name = self._name(file)
        if (unit := group.unit_of(arrival.sha256)) is not None:
            unit.arrivals[name] = arrival
            self._report(file, "known", arrival=arrival, error=f"It is the same as {unit.label}.")
            return True
        if group.ledger.holding(arrival.sha256) is None:
            return False
        if group.ledger.files.get(name) == arrival:
            self.unchanged += 1
            return True
        group.seen[name] = arrival
        self._report(file, "known", arrival=arrival)
        return True

    # Checks of a file as it was delivered

    def _refuse_too_large(self, file: SourceFile) -> None:
        most = self._options.most_file_bytes
        if file.size > most:
            raise InputError(
                f"{file.uri} has {file.size / 2**30:.1f} GiB, more than {most / 2**30:.1f}. Have "
                "the export write smaller files, or allow more: --max-file-gib."
            )
        free = shutil.disk_usage(self._scratch).free
        if free < 3 * file.size:
            raise InputError(
                f"{file.uri} needs some {3 * file.size / 2**30:.1f} GiB below {self._scratch}, "
                f"where {free / 2**30:.1f} are free. Point TMPDIR to a larger disk."
            )

    def _expected(self, file: SourceFile, arrival: Arrival) -> Expected | None:
        """What a control file says, after the content was held against it."""
        found = self._listing.expected(file)
        if found is None:
            return None
        control, expected = found
        if expected is None:
            raise InputError(
                f"{file.uri} is not named by {control}, which lists what is handed over."
            )
        _must_match(file, "bytes", expected.size, arrival.size)
        _must_match(file, "the checksum", expected.sha256, arrival.sha256)
        return expected

    # Commits

    def _finish(self, group: _Group) -> list[SourceFile]:
        """Commit a group; returns the files that another file's payments kept out."""
        try:
            return self._commit(group)
        finally:
            shutil.rmtree(group.scratch)

    def _commit(self, group: _Group) -> list[SourceFile]:
        """In one step; where files must come together, without those of which one is refused."""
        together = self._options.all_or_nothing or self._options.whole_folders
        for number in itertools.count():
            read, seen = group.only(self._may_come)
            if not read and not seen:
                break
            folders = {one.file.folder for one in read} | {group.files[n].folder for n in seen}
            done = commit(
                [one.unit for one in read],
                self._options.imports,
                store=self._store,
                scratch=group.scratch / f"commit-{number}",
                arrivals=seen,
                gone=self._gone(folders, group),
                whole=together,
                progress=self._progress,
            )
            self._report_refused(group, done)
            if not (together and done.refused):
                self._report_committed(read, done)
                self.retracted += len(done.retracted)
                break
        return self._kept_out(group)

    def _may_come(self, file: SourceFile) -> bool:
        """Whether nothing is refused that the file must come in with."""
        failed = {path for path, report in self.reports.items() if report.state in FAILED}
        if self._options.all_or_nothing:
            return not failed
        if self._options.whole_folders:
            return file.folder not in {path.rpartition("/")[0] for path in failed}
        return True

    def _kept_out(self, group: _Group) -> list[SourceFile]:
        """What was read and did not come in, reported; another file may have to go first."""
        names = [name for one in group.read for name in one.unit.arrivals]
        for one in group.read:
            if one.file.path not in self.reports:
                for name in one.unit.arrivals:
                    self._report(group.files[name], "held back", error=_ANOTHER_REFUSED)
        files = (group.files[name] for name in (*names, *group.seen))
        return [file for file in files if self.reports[file.path].state in FAILED]

    def _gone(self, folders: Iterable[str], group: _Group) -> list[str]:
        """Names that the folders of new files hold no longer."""
        if not self._options.whole_folders:
            return []
        whole = {f"{self._base}{folder}".rstrip("/") for folder in folders}
        there = {self._name(file) for file in self._listing.files}
        return [
            name
            for name in group.ledger.files
            if name not in there and name.rpartition("/")[0] in whole
        ]

    # Reports

    def _report_refused(self, group: _Group, done: Committed) -> None:
        others = {one.unit.name: one.unit.arrivals for one in group.read}
        for name, error in done.refused.items():
            for same in others.get(name, [name]):
                self._report(group.files[same], "refused", error=str(error))

    def _report_committed(self, read: Sequence[_Read], done: Committed) -> None:
        for one in read:
            manifest = done.imported.get(one.unit.name)
            if manifest is not None:
                state: State = "corrected" if manifest.replaces else "imported"
                self._report(one.file, state, manifest=manifest, seconds=one.seconds)
            elif one.unit.name in done.known:
                self._report(one.file, "known", arrival=one.unit.arrival, seconds=one.seconds)

    def _report(
        self,
        file: SourceFile,
        state: State,
        *,
        error: str | None = None,
        arrival: Arrival | None = None,
        manifest: ImportManifest | None = None,
        seconds: float = 0,
    ) -> None:
        self.reports[file.path] = FileReport(
            path=file.path,
            state=state,
            error=error,
            uri=file.uri,
            size=file.size,
            etag=file.etag,
            sha256=arrival.sha256 if arrival else manifest.sha256 if manifest else "",
            seconds=seconds,
            manifest=manifest,
        )

    def _name(self, file: SourceFile) -> str:
        return f"{self._base}{file.path}"


def _must_match(file: SourceFile, what: str, expected: object, found: object) -> None:
    if expected is not None and expected != found:
        raise InputError(
            f"{file.uri}: its control file says {expected} for {what}, and it has {found}. It was "
            "not handed over whole: copy it again."
        )


def _check_rows(expected: Expected | None, rows: int) -> None:
    if expected is not None and expected.rows is not None and expected.rows != rows:
        raise InputError(
            f"Its control file says {expected.rows:,} rows, and it has {rows:,}. It was not handed "
            "over whole: copy it again."
        )
