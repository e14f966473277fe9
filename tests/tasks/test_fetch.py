import hashlib
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from consilia.errors import DataError
from consilia_workers.datasets.catalog import DataFile, DataSet
from consilia_workers.datasets.fetch import State, fetch, inspect

CONTENT = b"63.0,1.0,1.0\n" * 10_000


class Publisher(ThreadingHTTPServer):
    """Serves `pages` by path on 127.0.0.1, and remembers what was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if (page := self.server.pages.get(self.path)) is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(page) + (100 if self.path == "/torn" else 0)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have seen enough
            self.wfile.write(page)

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def publisher():
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def one_file(port, path="/good", content=CONTENT):
    url = f"http://127.0.0.1:{port}{path}"
    file = DataFile(name="table.data", sha256=hashlib.sha256(content).hexdigest(), size=len(content), url=url)
    return DataSet(
        name="tables", title="Tables", sites=("a",), rows=1, licence="none", origin="a test", folder="t", files=(file,)
    )


def test_a_file_with_the_right_checksum_is_kept_under_its_name(publisher, tmp_path):
    publisher.pages["/good"] = CONTENT
    folder = tmp_path / "new" / "folder"
    assert fetch(one_file(publisher.server_port), folder) == [folder / "table.data"]
    assert [path.name for path in folder.iterdir()] == ["table.data"]
    assert (folder / "table.data").read_bytes() == CONTENT


def test_what_is_verified_already_is_not_fetched_again(publisher, tmp_path):
    (tmp_path / "table.data").write_bytes(CONTENT)
    assert fetch(one_file(publisher.server_port), tmp_path) == []
    assert publisher.asked == []


@pytest.mark.parametrize(
    ("path", "page", "complaint"),
    [
        (
            "/good",
            CONTENT[:-1] + b"!",
            r"/good does not serve the expected file: its sha256 is .*Nothing of it was kept",
        ),
        ("/good", CONTENT + b"more", "does not serve the expected file"),
        ("/good", CONTENT[:-1], r"cannot be downloaded: it ended after 129,999 of 130,000 bytes"),
        ("/good", b"", r"it ended after 0 of 130,000 bytes"),
        ("/torn", CONTENT[:-1], r"/torn cannot be downloaded"),
        ("/gone", None, r"/gone cannot be downloaded: .*404.*consilia data verify tables --at"),
    ],
)
def test_what_is_not_verified_leaves_nothing_behind(publisher, tmp_path, path, page, complaint):
    publisher.pages[path] = page
    with pytest.raises(DataError, match=complaint):
        fetch(one_file(publisher.server_port, path), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_broken_off(publisher, tmp_path):
    publisher.pages["/good"] = CONTENT * 1_000  # 130 MB where 130 kB are expected
    with pytest.raises(DataError, match="does not serve the expected file"):
        fetch(one_file(publisher.server_port), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_different_file_stays_until_the_right_one_is_here(publisher, tmp_path):
    (tmp_path / "table.data").write_bytes(b"mine")
    with pytest.raises(DataError):
        fetch(one_file(publisher.server_port), tmp_path)
    assert (tmp_path / "table.data").read_bytes() == b"mine"
    publisher.pages["/good"] = CONTENT
    fetch(one_file(publisher.server_port), tmp_path)
    assert (tmp_path / "table.data").read_bytes() == CONTENT


def test_an_unreachable_address_is_said_at_once_with_the_way_round(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed_at_once:
        port = closed_at_once.getsockname()[1]
    with pytest.raises(DataError, match=r"cannot be downloaded: .*refused.*get table\.data on another machine"):
        fetch(one_file(port), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(publisher, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/folder cannot be made: .*Choose another folder"):
        fetch(one_file(publisher.server_port), tmp_path / "file" / "folder")


def test_inspection_tells_verified_missing_and_different_apart(publisher, tmp_path):
    entry = one_file(publisher.server_port)
    states = []
    for content in (None, b"other", CONTENT):
        if content is not None:
            (tmp_path / "table.data").write_bytes(content)
        states += [finding.state for finding in inspect(entry, tmp_path)]
    assert states == [State.MISSING, State.DIFFERENT, State.VERIFIED]


def test_a_folder_in_place_of_a_file_is_an_error(publisher, tmp_path):
    (tmp_path / "table.data").mkdir()
    with pytest.raises(DataError, match=r"table\.data cannot be read"):
        inspect(one_file(publisher.server_port), tmp_path)
