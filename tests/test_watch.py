"""The live page: what it says of a run in any state, and to whom."""

import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import children
import jax
import killed
import moments
import numpy as np
import psutil
import pytest
from test_browser import CHROMIUM, browser, new_page  # noqa: F401

import jaxtune as jt
from jaxtune.analysis._coordinates import span
from jaxtune.report import html
from jaxtune.storage import writer
from jaxtune.watching import document, follower
from jaxtune.watching.document import document_of
from jaxtune.watching.follower import RunFollower

SPACE = jt.Space(
    a=jt.log_uniform(1e-3, 1.0), b=jt.integer(1, 9), kind=jt.choice(["<b>", "y"])
)


def search(directory, callbacks=(), **changes):
    """Twelve blocks in three rounds."""

    def objective(key, hparams):
        return hparams["a"] + abs(hparams["b"] - 4) + hparams["kind"].index

    arguments = {"trials": 48, "rounds": 3, "block": 4, "mode": "min", "verbose": 0}
    arguments |= {"sampler": "sobol"}
    return jt.search(
        objective,
        SPACE,
        key=jax.random.key(0),
        directory=directory,
        callbacks=list(callbacks),
        **(arguments | changes),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    at = tmp_path_factory.mktemp("watched") / "run"
    search(at)
    return at


def ask(page, path=None, method="GET", **headers):
    """The answer of the server of a page: its status, headers and text."""
    address = urlsplit(page.url)
    with closing(http.client.HTTPConnection(address.netloc)) as connection:
        connection.request(method, path or address.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()


def state(directory):
    return document_of(directory)[0]


# whom it answers


def test_it_answers_its_own_address_and_nothing_else(tmp_path):
    with jt.watch(tmp_path) as page:
        address = urlsplit(page.url)
        port, key = address.port, address.path
        assert ask(page)[0] == 200
        assert ask(page, Host=f"localhost:{port}")[0] == 200
        for host in ("example.org", f"example.org:{port}", "127.0.0.1", "", "[::1]"):
            assert ask(page, Host=host)[0] == 421, host
        for path in ("/", "/report", f"{key}x", f"{key}../", "/x/", f"{key}?a=1"):
            assert ask(page, path)[0] == 404, path
        for asset in ("watch.js/", "../watch.js", "%2e%2e/cli.py", "watch.html"):
            assert ask(page, key + asset)[0] == 404, asset
        assert ask(page, f"http://example.org{key}")[0] == 421
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE"):
            assert ask(page, method=method)[0] == 501, method


def test_two_pages_have_different_addresses(tmp_path):
    with jt.watch(tmp_path) as one, jt.watch(tmp_path) as other:
        paths = {urlsplit(page.url).path for page in (one, other)}
        assert len(paths) == 2
        assert ask(one, urlsplit(other.url).path)[0] == 404


def test_it_listens_on_the_loopback_alone(tmp_path):
    with jt.watch(tmp_path) as page:
        port = urlsplit(page.url).port
        here = [
            found.laddr
            for found in psutil.Process().net_connections("tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port
        ]
        assert [address.ip for address in here] == ["127.0.0.1"]


def test_every_answer_forbids_what_the_page_does_not_need(finished):
    with jt.watch(finished) as page:
        key = urlsplit(page.url).path
        for path in (key, f"{key}watch.js", f"{key}page.css", f"{key}report", "/"):
            headers = ask(page, path)[1]
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "'unsafe-inline'" not in headers["Content-Security-Policy"].replace(
                "style-src 'unsafe-inline'", ""
            )
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "Python" not in headers["Server"]


def test_a_port_that_is_taken_is_named(tmp_path):
    with jt.watch(tmp_path) as page:
        port = urlsplit(page.url).port
        with pytest.raises(ValueError, match=f"port {port} cannot be used.*port 0"):
            jt.watch(tmp_path, port=port)


# what it says of a run


def test_it_waits_for_a_run_that_has_not_begun(tmp_path):
    for directory in (tmp_path, tmp_path / "later"):
        shown = state(directory)
        assert shown["state"] == "waiting"
        assert str(directory) in shown["words"]
    assert not (tmp_path / "later").exists()


def test_it_says_of_a_finished_run_what_the_result_says(finished):
    shown, found = state(finished), jt.load(finished)
    assert shown["state"] == "finished"
    assert json.loads(json.dumps(shown, allow_nan=False)) == json.loads(
        json.dumps(shown)
    )
    assert shown["best"]["trial"] == found.best.trial
    assert shown["best"]["score"] == f"{found.best.score:.6g}"
    assert [sum(r["counts"].values()) for r in shown["rounds"]] == [16, 16, 16]
    assert shown["table"]["rows"][0][0] == found.best.trial
    assert shown["front"] is None
    # the number of a round is that of the boxes
    rounds = [row[1] for row in shown["table"]["rows"]]
    order = [row[0] for row in shown["table"]["rows"]]
    assert rounds == (found.trials["round"][order] + 1).tolist()


def test_each_box_is_where_the_trials_of_its_round_are(finished):
    shown = state(finished)
    for dimension in shown["boxes"]:
        assert len(dimension["rounds"]) == 3
        assert dimension["rounds"][0]["span"] == pytest.approx((0, 1), abs=1e-6)
        for box in dimension["rounds"]:
            low, high = box["span"]
            assert 0 <= low < high <= 1
            places = [at for at, _ in box["dots"]]
            assert len(places) == 16
            assert min(places) >= low - 1e-3
            assert max(places) <= high + 1e-3


def test_a_part_of_a_dimension_has_its_ends_on_the_whole():
    whole = jt.Space(
        a=jt.uniform(0.0, 2.0),
        b=jt.integer(1, 10),
        c=jt.power_of_two(1, 8),
        d=jt.choice(["x", "y", "z", "w"]),
    )
    part = whole.restrict(a=(0.5, 1.0), b=(3, 4), c=(2, 4), d=["y", "z"])
    ends = [span(whole[name], part[name]) for name in whole.names]
    known = [(0.25, 0.5), (0.2, 0.4), (0.25, 0.75), (0.25, 0.75)]
    np.testing.assert_allclose(ends, known, atol=1e-5)


@contextmanager
def noted(directory, kind, detail):
    """Around a run: a last event in a copy of it."""
    copy = directory.with_name(f"{directory.name}-{kind}-{detail}".replace(" ", "-"))
    shutil.copytree(directory, copy)
    with closing(sqlite3.connect(copy / "run.sqlite")) as db, db:
        db.execute("INSERT INTO events VALUES ('2026-01-01', ?, ?)", (kind, detail))
    yield copy
    shutil.rmtree(copy)


def test_it_tells_a_process_that_runs_from_one_that_was_killed():
    alive = "process {} on {}".format
    child = subprocess.Popen(["true"])  # not waited for: a zombie when it has ended
    moments.wait_until(lambda: is_over(child.pid), "the end of a child")
    host = socket.gethostname()
    found = {
        alive(os.getpid(), host): True,
        alive(child.pid, host): False,
        alive(2**22 + 1, host): False,
        alive(2**200, host): None,
        alive(os.getpid(), f"{host}-2"): None,
        "something else": None,
    }
    for process, known in found.items():
        session = document.Session(("", "opened", process), process, 1)
        assert session.alive is known, process
    child.wait()


def is_over(pid):
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    at = tmp_path / "run"
    with killed.cut_after(5):
        killed.search(at, "halving")
    shown = state(at)
    assert shown["state"] == "interrupted"
    assert "directory=" in shown["words"] or "jaxtune resume" in shown["words"]
    counts = [r["counts"] for r in shown["rounds"]]
    assert counts[-1]["running"] + counts[-1]["waiting"] > 0
    assert shown["rounds"][-1]["open"]
    assert shown["counts"] == str(jt.load(at).counts)
    killed.search(at, "halving")
    assert state(at)["state"] == "finished"


def test_it_says_what_is_wrong_with_a_damaged_run(finished, tmp_path):
    for name, content in (("run.sqlite", b"no database"), ("run.json", b"{")):
        at = tmp_path / name
        shutil.copytree(finished, at)
        (at / name).write_bytes(content)
        shown = state(at)
        assert shown["state"] == "unreadable"
        assert str(at) in shown["words"]


def test_a_front_has_its_members_marked(tmp_path, small_task):
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5), hidden_units=jt.integer(4, 16)
    )
    at = tmp_path / "run"
    found = jt.search(
        small_task,
        space,
        key=jax.random.key(0),
        trials=8,
        epochs=1,
        goals=["accuracy", "parameters"],
        directory=at,
        verbose=0,
    )
    front = state(at)["front"]
    assert front["count"] == len(found.front) == sum(front["front"])
    assert front["names"] == ["parameters (min)", "accuracy (max)"]


# how it follows


@pytest.fixture
def readings(monkeypatch):
    """The directories that were read, in order."""
    read, real = [], document.document_of

    def counting(directory):
        read.append(directory)
        return real(directory)

    monkeypatch.setattr(follower, "document_of", counting)
    monkeypatch.setattr(follower, "POLL", 0.01)
    monkeypatch.setattr(follower, "AGAIN", 0.01)
    return read


def test_all_viewers_hear_of_a_change_and_one_reading_serves_them(
    finished, tmp_path, readings
):
    at = tmp_path / "run"
    with closing(RunFollower(at)) as news, news.watched(), news.watched():
        first = news.after(0, moments.HANG)
        assert json.loads(first[1])["state"] == "waiting"
        shutil.copytree(finished, tmp_path / "part")
        (tmp_path / "part").rename(at)
        second = [news.after(first[0], moments.HANG) for _ in range(2)]
        assert second[0] == second[1]
        assert json.loads(second[0][1])["state"] == "finished"
        shutil.rmtree(at)
        version = second[0][0]
        while json.loads((gone := news.after(version, moments.HANG))[1])["state"] != (
            "removed"
        ):
            version = gone[0]
        assert str(at) in gone[1]


def test_nothing_is_read_while_nobody_watches(finished, readings):
    with closing(RunFollower(finished)) as news:
        with news.watched():
            version, _ = news.after(0, moments.HANG)
        before = len(readings)
        (finished / "run.json").touch()
        assert news.after(version, 0.2) is None
        assert len(readings) == before
        with news.watched():
            moments.wait_until(lambda: len(readings) > before, "a reading")


def test_an_error_of_ours_is_shown_and_ends_nothing(finished, monkeypatch):
    monkeypatch.setattr(follower, "POLL", 0.01)
    monkeypatch.setattr(follower, "AGAIN", 0.01)

    def failing(directory):
        monkeypatch.undo()
        raise TypeError("a fault")

    monkeypatch.setattr(follower, "document_of", failing)
    with closing(RunFollower(finished)) as news, news.watched():
        version, text = news.after(0, moments.HANG)
        assert "TypeError: a fault" in text
        assert "finished" in news.after(version, moments.HANG)[1]


def test_a_report_that_cannot_be_made_is_said_in_a_line(finished, monkeypatch):
    def failing(result):
        raise TypeError("a fault\nof \ud800")

    monkeypatch.setattr(html, "page", failing)
    with closing(jt.watch(finished)) as page:
        status, _, text = ask(page, f"{urlsplit(page.url).path}report")
    assert status == 503
    assert text == "The report could not be made: TypeError: a fault of \\ud800\n"


def test_closing_ends_the_streams(finished):
    page = jt.watch(finished)
    address = urlsplit(page.url)
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("GET", f"{address.path}events")
    answer = connection.getresponse()
    assert answer.readline().startswith(b'data: {"state":"finished"')
    page.close()
    assert answer.read().strip() == b""
    connection.close()


def test_the_command_prints_its_address_and_ends_by_an_interrupt(tmp_path):
    command = children.interruptible("-m", "jaxtune", "watch", str(tmp_path))
    process = subprocess.Popen(
        command,
        env=children.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = process.stdout.readline().strip()
    address = urlsplit(url)
    with closing(http.client.HTTPConnection(address.netloc)) as connection:
        connection.request("GET", address.path)
        assert connection.getresponse().status == 200
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "Ctrl-C ends it.\n"
    process.stdout.close()
    assert process.wait(moments.HANG) == 0


# in a browser


class Gate(jt.Callback):
    """Holds a search before the end of its n-th block until it is opened."""

    def __init__(self, *blocks):
        self.gates = {block: threading.Event() for block in blocks}
        self.reached = {block: threading.Event() for block in blocks}
        self.blocks = 0

    def on_block(self, round, block):
        self.blocks += 1
        if self.blocks in self.gates:
            self.reached[self.blocks].set()
            self.gates[self.blocks].wait(moments.HANG)


@contextmanager
def running(directory, gate):
    """A search in a thread; it is let through at the end."""
    thread = threading.Thread(target=search, args=(directory, [gate]))
    thread.start()
    try:
        yield
    finally:
        for one in gate.gates.values():
            one.set()
        thread.join()


@pytest.fixture
def view(browser):  # noqa: F811
    """Open a page of a server; whatever it complains of fails the test."""
    opened = []

    def open_page(url, width=1600, scheme="light"):
        context, page, wrong = new_page(browser, width, 500, scheme)
        page.on("request", lambda request: asked(request.url, url, wrong))
        page.goto(url, wait_until="domcontentloaded")
        opened.append((context, wrong))
        return page

    yield open_page
    for context, wrong in opened:
        context.close()
        assert wrong == []


def asked(address, url, wrong):
    """Note an address that is not of the server, nor in the page itself."""
    if urlsplit(address).netloc not in (urlsplit(url).netloc, ""):
        wrong.append(address)


in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "JAXTUNE_BROWSER" not in os.environ,
    reason="no chromium: apt-get install chromium",
)


@in_a_browser
def test_a_search_is_seen_from_before_its_beginning_to_its_end(
    view, tmp_path, monkeypatch
):
    monkeypatch.setattr(writer, "PATIENCE", 0)  # every block is on record at once
    at, gate = tmp_path / "run", Gate(2, 6)
    with jt.watch(at) as server:
        page, phone = view(server.url), view(server.url, 400, "dark")
        page.wait_for_selector("body.waiting")
        with running(at, gate):
            assert gate.reached[2].wait(moments.HANG)
            page.wait_for_selector("body.running h1:has-text('Best so far')")
            assert "of 48 trials done" in page.locator("#progress h2").inner_text()
            assert page.locator("#boxes .plot >> nth=0").locator("rect").count() == 1
            # what the reader does stays
            page.get_by_role("button", name="score", exact=True).focus()
            page.keyboard.press("Enter")
            page.keyboard.press("Enter")
            page.evaluate("scrollTo(0, 150)")
            mark = "document.querySelector('#trials th button').mark"
            page.evaluate(f"{mark} = 1")
            gate.gates[2].set()
            assert gate.reached[6].wait(moments.HANG)
            page.wait_for_selector("#progress:has-text('round 2')")
            assert page.locator("#boxes .plot >> nth=0").locator("rect").count() == 2
            assert page.evaluate("scrollY") == 150
            assert page.evaluate("document.activeElement.dataset.column") == "score"
            assert page.evaluate(mark) == 1
            assert page.locator("th[aria-sort=descending]").inner_text() == "score"
            column = page.locator("#trials td:nth-child(4)").all_inner_texts()
            assert column == sorted(column, key=float, reverse=True)
        page.wait_for_selector("body.finished")
        found = jt.load(at)
        best = f"Best: {found.best.score:.6g}"
        assert page.locator("h1").inner_text() == best
        assert page.locator("#boxes .plot >> nth=0").locator("rect.box").count() == 3
        assert box_of(page) == pytest.approx(span(SPACE["a"], found.spaces[-1]["a"]))
        phone.wait_for_selector("body.finished")
        assert phone.locator("h1").inner_text() == best
        assert phone.evaluate("document.documentElement.scrollWidth") <= 400
        # strings of the user are shown, and not obeyed
        assert "<b>" in page.locator("#boxes").inner_text()
        assert page.locator("#boxes b b").count() == 0


def box_of(page):
    """The ends of the newest box of the first dimension, as the page draws it."""
    box = page.locator("#boxes .plot >> nth=0").locator("rect.newest")
    left, width = (float(box.get_attribute(name)[:-1]) for name in ("x", "width"))
    return left / 100, (left + width) / 100


@in_a_browser
def test_the_report_obeys_the_policy_of_its_answer(view, finished):
    with jt.watch(finished) as server:
        page = view(server.url)
        page.wait_for_selector("body.finished")
        report = view(f"{server.url}report")
        report.wait_for_selector("#count:not(:empty)")  # filled by its script
        assert report.locator("figure svg").count() > 3


@in_a_browser
def test_a_finished_run_is_asked_for_no_more(view, finished, readings):
    with jt.watch(finished) as server:
        page = view(server.url)
        page.wait_for_selector("body.finished")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        (finished / "run.json").touch()
        page.wait_for_timeout(300)
        assert asked == []
    # nor does the end of the server change it
    assert page.locator("#state").inner_text() == "Finished."
