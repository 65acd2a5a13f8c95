"""The sinks as programs, which faults and benchmarks start beside the product."""

import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def running(module: str, file: Path, *arguments: str) -> Iterator[int]:
    """The port of a sink in a process of its own."""
    command = [sys.executable, "-m", module, "--port", "0", "--file", str(file), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def receipts(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_the_mail_server_says_its_port_and_records(tmp_path: Path) -> None:
    file = tmp_path / "mail.jsonl"
    with running("tests.sinks.smtp", file) as port, smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.sendmail("a@example.org", ["b@example.org"], "Subject: Hi\r\n\r\nHello")
        (receipt,) = receipts(file)
    assert (receipt["sender"], receipt["recipients"]) == ("a@example.org", ["b@example.org"])


def test_the_mail_server_misbehaves_as_told(tmp_path: Path) -> None:
    with running("tests.sinks.smtp", tmp_path / "mail.jsonl", "--behavior", "greylist") as port:
        client = smtplib.SMTP("127.0.0.1", port, timeout=5)
        client.helo()
        client.mail("a@example.org")
        assert client.rcpt("b@example.org")[0] == 451
        client.close()


def test_the_web_server_says_its_port_records_and_follows_its_script(tmp_path: Path) -> None:
    file = tmp_path / "web.jsonl"
    statuses = []
    with running("tests.sinks.http", file, "--status", "500", "--status", "429") as port:
        for _ in range(3):
            client = HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("POST", "/hook", body=b"hello")
            statuses.append(client.getresponse().status)
            client.close()
    assert statuses == [500, 429, 200]
    assert [(receipt["path"], receipt["body"]) for receipt in receipts(file)] == [("/hook", "hello")] * 3
