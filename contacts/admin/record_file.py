"""The form for a file of records: chosen, pasted, or sent along by the page before, and how to read it."""

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from contacts.admin.sent_along import SentAlong, TooLarge
from contacts.imports.mapping import MappingProblem
from contacts.imports.records.at_once import larger_files, read_short
from contacts.imports.records.columns import key_named
from contacts.imports.records.reading import Options
from contacts.imports.records.shape import ID, Shape
from crm.csv_files import MemoryBytes, Table, UnreadableFile, inspect

MEGABYTE: Final = 1_048_576
# It is held in memory, and comes back compressed from the page that shows what would happen.
LARGEST: Final = 5 * MEGABYTE
ENROLL: Final = (("yes", "Yes"), ("no", "No"))


class RecordFileForm(forms.Form):
    """`table`, `name` and `sealed` are there once the file could be read, even if a choice is wrong."""

    file = forms.FileField(
        required=False,
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or paste rows, the titles of their columns first",
        widget=UnfoldAdminTextareaWidget({"rows": 5, "spellcheck": "false"}),
    )
    brought = forms.CharField(required=False, strip=False)
    key = forms.CharField(initial=ID)
    enroll = forms.ChoiceField(choices=ENROLL, initial="yes")
    looked = forms.CharField(required=False)

    def __init__(self, *args: Any, shape: Shape, along: SentAlong, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shape, self._along = shape, along
        self.table: Table | None = None
        self.name = self.sealed = ""

    def clean_key(self) -> str:
        try:
            return key_named(self._shape, self.cleaned_data["key"])
        except MappingProblem as problem:
            raise forms.ValidationError(str(problem)) from None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if "file" in self.errors or "text" in self.errors:
            return data
        try:
            self._read(data)
        except UnreadableFile as problem:
            self.add_error(None, str(problem))
        return data

    @property
    def choices(self) -> str:
        """What was chosen, so that the next page knows for which choices this one said what would happen."""
        return f"{self.cleaned_data['enroll']} {self.cleaned_data['key']}"

    @property
    def was_looked_at(self) -> bool:
        return bool(self.cleaned_data["looked"] == self.choices)

    def options(self, *, dry_run: bool) -> Options:
        data = self.cleaned_data
        return Options(key=data["key"], enroll=data["enroll"] == "yes", dry_run=dry_run)

    def _read(self, data: dict[str, Any]) -> None:
        """The table of what was brought, and all of it sealed for the next page; raises UnreadableFile."""
        sealed = ""
        if data["file"] or data["text"].strip():
            name, text = self._new(data["file"], data["text"])
        elif data["brought"]:
            name, text, sealed = *self._known(data["brought"]), data["brought"]
        else:
            raise UnreadableFile("Choose a file, or paste rows.")
        table = read_short(content=text.encode(), shape=self._shape)
        try:
            self.sealed = sealed or self._along.seal({"name": name, "text": text})
        except TooLarge:
            raise UnreadableFile(f"The file is too large for this page. {larger_files(self._shape)}") from None
        self.name, self.table = name, table

    def _new(self, file: Any, text: str) -> tuple[str, str]:
        if file and text.strip():
            raise UnreadableFile("Choose a file or paste rows, not both.")
        if not file:
            self._fits("The rows have", len(text.encode()))
            return "Pasted rows", text
        self._fits("The file has", file.size)
        content = file.read()
        encoding = inspect(source=MemoryBytes(content)).encoding
        return str(file.name), content.decode(encoding)

    def _fits(self, what: str, size: int) -> None:
        if size > LARGEST:
            told = f"{what} {size / MEGABYTE:.1f} MB; this page takes {LARGEST // MEGABYTE}."
            raise UnreadableFile(f"{told} {larger_files(self._shape)}")

    def _known(self, brought: str) -> tuple[str, str]:
        found = self._along.open(brought)
        if found is None:
            raise UnreadableFile("What you brought can no longer be read here: bring it again.")
        return found["name"], found["text"]
