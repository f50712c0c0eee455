"""Documents of whole, failed, empty and torn runs, as files: what they say, and that nothing escapes into them."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import checkers
from harness.rundir import RunDirectory, RunDirectoryError
from reports import frames, html, junit, markdown, statistics
from reports.__main__ import write
from reports.figures import log_ticks, nice_ticks
from reports.terminal import verdict_table
from tests.reports.synthetic import tear, write_empty_run, write_run

_VOID = {"meta", "link", "br", "img", "hr", "input", "path", "rect"}


class Page(HTMLParser):
    """Counts on every tag being closed, and collects what a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: dict[str, int] = {}
        self.fetches: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action") and not (value or "").startswith("#"):
                self.fetches.append(f"{tag} {name}={value}")
            assert not name.startswith("on"), (tag, name)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            self.text.append(" ".join(data.split()))


def judged(run: RunDirectory) -> Path:
    run.write_json("verdict.json", checkers.judge(run))
    return run.path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged(write_run(tmp_path_factory.mktemp("runs") / "good"))


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged(write_run(tmp_path_factory.mktemp("runs") / "failed", failing=True))


def page_of(path: Path) -> Page:
    page = Page(html.render(frames.load(path)))
    assert page.open == []
    return page


def test_a_good_run_says_pass_first_and_fetches_nothing(good: Path) -> None:
    page = page_of(good)
    assert page.fetches == []
    assert "script" not in page.tags
    words = page.text
    assert words.index("PASS") < words.index("Targets", words.index("PASS"))
    assert "Everything that was judged held." in words
    assert page.tags["svg"] > 15
    for section in ("Latency over time", "Time to ready", "Throughput", "Errors", "Faults and recovery", "Audit"):
        assert section in words


def test_what_came_from_a_cloud_or_an_experiment_is_text_and_never_markup(good: Path) -> None:
    text = html.render(frames.load(good))
    assert "<b>while</b>" not in text
    assert "500 servers at once &lt;b&gt;while&lt;/b&gt;" in text
    assert '<script>alert("from the cloud")' not in text


def test_the_page_says_what_other_packages_added(good: Path) -> None:
    text = page_of(good).text
    assert "From other packages" in text
    assert "fault acme.slow of acme 1.2" in text


def test_a_failed_run_names_damaged_objects_request_ids_and_reasons(failed: Path) -> None:
    text = " ".join(page_of(failed).text)
    assert "FAIL" in text
    assert re.search(r"stuck_build: 42 servers: in BUILD without a step for longer than 13 s", text)
    assert re.search(r"HTTP 500", text)
    assert re.search(r"req-[0-9a-f]{8}-1111", text)
    assert "5f0c0000-0000-4000-8000-000000000000" in text
    assert "database.crash" in text


def test_the_tile_counts_the_servers_of_all_bursts_and_names_the_slowest(good: Path) -> None:
    run = frames.load(good)
    made = run.operations[run.operations["kind"] == "server.create"]
    rows = run.operations["operation_id"].isin(made["operation_id"].head(3))
    run.operations["swarm"] = run.operations["swarm"].astype(object).mask(rows, "second")
    run.operations["ready_ns"] = run.operations["ready_ns"].mask(rows)
    text = Page(html.render(run)).text
    tile = text.index("Servers ready")
    ready = int(run.operations.loc[made.index, "ready_ns"].notna().sum())
    assert text[tile + 1] == f"{ready:,} / {len(made):,}"
    assert text[tile + 2].startswith("slowest, second")


def test_figures_shade_and_name_the_faults_and_say_their_units(good: Path) -> None:
    text = html.render(frames.load(good))
    assert text.count('class="fault-name"') > 10
    assert re.search(r"<title>database.latency on database, 35 s to 50 s latency 40 ms</title>", text)
    assert re.search(r"<title>\d+ s\np50: [\d.]+ ms\np95: [\d.]+ ms\np99: [\d.]+ ms\np50 service", text)
    assert "time in the run" in text
    assert (
        "nan"
        not in re.sub(r"<style>.*?</style>", "", text, flags=re.S).lower().replace("tenant", "").split("experiment")[0]
    )


def test_a_fault_that_was_cut_short_is_said_in_every_document(tmp_path: Path) -> None:
    run = write_run(tmp_path / "short", burst=20)
    lines = [json.loads(line) for line in (run.path / "faults.jsonl").read_text().splitlines()]
    short = {**lines[3], "event": "cut_short", "detail": "after 2 s: the proxy is gone"}
    text = "".join(json.dumps(line) + "\n" for line in [*lines[:4], short, *lines[4:]])
    (run.path / "faults.jsonl").write_text(text)
    path = judged(run)
    verdict = json.loads((path / "verdict.json").read_bytes())
    assert verdict["verdict"] != "pass"
    why = "did not bite over its whole window: after 2 s: the proxy is gone"
    assert "database.latency on database: bit, but was CUT SHORT" in verdict_table(verdict, width=200, coloured=False)
    page = page_of(path)
    assert "cut short" in page.text
    assert any(why in text for text in page.text)
    assert "| database.latency | **cut short** | yes |" in markdown.render(frames.load(path))
    root = ElementTree.fromstring(junit.render(frames.load(path)))
    (error,) = root.findall(".//testcase[@name='database.latency on database bites']/error")
    assert error.get("message") == f"unknown: {why}"


def test_a_drill_that_went_as_expected_says_so(tmp_path: Path) -> None:
    path = judged(write_run(tmp_path / "drill", failing=True, drill=True))
    words = page_of(path).text
    assert "AS EXPECTED" in words


def test_an_empty_run_has_a_report_that_says_what_is_missing(tmp_path: Path) -> None:
    path = judged(write_empty_run(tmp_path / "empty"))
    text = " ".join(page_of(path).text)
    assert "UNKNOWN" in text
    assert "What is missing" in text
    assert "the snapshot of the cloud after it" in text
    assert markdown.render(frames.load(path)).startswith("# UNKNOWN: ")


def test_a_torn_run_has_a_report_of_what_is_left(tmp_path: Path) -> None:
    run = write_run(tmp_path / "torn")
    tear(run)
    text = " ".join(page_of(judged(run)).text)
    assert "the end of requests-worker-1.arrows: 0 whole batches were kept" in text
    assert "it was killed, or it still runs" in text
    assert "GET /servers/{id}" in text


def test_a_run_that_was_not_judged_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "unjudged")
    text = " ".join(page_of(run.path).text)
    assert "NO VERDICT" in text
    assert "run: squall audit" in text
    root = ElementTree.fromstring(junit.render(frames.load(run.path)))
    assert root.get("errors") == "1"


def test_a_broken_verdict_is_missing_and_not_a_crash(tmp_path: Path) -> None:
    run = write_run(tmp_path / "broken")
    run.write_bytes("verdict.json", b'{"verdict": "pa')
    assert "NO VERDICT" in page_of(run.path).text


def test_a_compacted_run_gives_the_same_report(good: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "good")
    run.compact()
    before, after = html.render(frames.load(good)), html.render(frames.load(judged(run)))
    assert after == before


def test_junit_has_targets_audit_and_faults_and_counts_them(failed: Path) -> None:
    root = ElementTree.fromstring(junit.render(frames.load(failed)))
    names = [suite.get("name") for suite in root]
    assert names[0] == "targets: baseline"
    assert names[-3:] == ["audit", "faults", "run"]
    cases = root.findall(".//testcase")
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == str(len(root.findall(".//failure"))) == "6"
    assert any(case.get("name") == "p99 time to ready of burst <= 60 s" for case in cases)


def test_the_summary_cannot_be_broken_out_of(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", failing=True)
    plan = run.read_json("plan.json")
    plan["name"] = "x | <img src=x> [click](javascript:1) `code`\n# heading"
    run.write_json("plan.json", plan)
    first = markdown.render(frames.load(judged(run))).splitlines()[0]
    assert first == r"# FAIL: x \| \<img src=x\> \[click\](javascript:1) \`code\` \# heading"


def test_every_table_of_the_summary_has_a_head_and_as_many_cells(failed: Path) -> None:
    blocks = markdown.render(frames.load(failed)).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert [table[0].split(" | ")[1] for table in tables] == ["phase", "asked", "bit"]
    for head, rule, *rows in tables:
        assert rows
        assert {len(re.split(r"(?<!\\)\|", line)) for line in (head, rule, *rows)} == {len(head.split("|"))}


def test_the_table_fits_its_width_and_carries_no_control_characters(failed: Path) -> None:
    verdict = RunDirectory(failed).read_json("verdict.json")
    verdict["phases"][1]["targets"][0]["route"] = "GET /\x1b[31mred"
    for width in (40, 60, 80, 120):
        table = verdict_table(verdict, width=width, coloured=False)
        assert "\x1b" not in table
        assert max(map(len, table.splitlines())) <= max(width, 60) + 8
    assert "\x1b[31mfail" in verdict_table(verdict, width=100, coloured=True)


def test_rates_add_up_to_the_requests(good: Path) -> None:
    run = frames.load(good)
    rates = statistics.rates(run)
    assert rates["intended"].sum() == pytest.approx(len(run.requests), rel=0.02)
    (ready,) = statistics.readiness(run)
    assert (ready.asked, len(ready.ready_s), ready.level) == (500, 500, "port_active")


def test_ticks_enclose_the_data_with_round_numbers() -> None:
    assert nice_ticks(0, 96) == [0, 20, 40, 60, 80, 100]
    assert nice_ticks(0, 240, most=7, time=True) == [0, 60, 120, 180, 240]
    assert log_ticks(12, 80) == [10, 20, 50, 100]
    assert log_ticks(0.5, 20_000)[0] <= 0.5
    assert log_ticks(7, 7) == [5, 10]


def test_the_command_writes_three_files_and_refuses_what_is_no_run(good: Path, tmp_path: Path) -> None:
    assert [path.name for path in write(good)] == ["report.html", "junit.xml", "summary.md"]
    with pytest.raises(RunDirectoryError, match=r"no run\.json"):
        write(tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "reports", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "is not a run directory" in result.stderr
