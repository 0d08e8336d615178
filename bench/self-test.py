#!/usr/bin/env python3
"""Tests of the harness itself: statistics, verdicts, page and chart. Prints ok or FAIL lines."""

import os
import sys
import tempfile
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import chart, columns, measure, report, rows, stats  # noqa: E402


def measured(row, column, number, value, shape="all", **more):
    return {"row": row, "column": column, "shape": shape, "load": "alone", "round": number,
            "ok": True, "value": value, "unit": "ns", **more}


def wrong(row, column, number):
    return {"row": row, "column": column, "shape": "all", "load": "alone", "round": number,
            "ok": False, "error": "wrong answer"}


def test_ratios_are_taken_within_rounds():
    table = stats.Table([measured("umask", "native", 0, 100), measured("umask", "native", 1, 1000),
                         measured("umask", "caisson", 0, 200), measured("umask", "caisson", 1, 2000),
                         measured("umask", "caisson", 2, 9)])
    assert table.ratios("umask", "caisson", "native") == [2, 2]


def test_quantiles():
    assert stats.median([3, 1, 2]) == 2 and stats.median([4, 1, 2, 3]) == 2.5
    assert stats.quantile([0, 10], 0.1) == 1 and stats.quantile([7], 0.9) == 7


def verdict_of(name, values, shape="all"):
    lines = [measured(name, column, 0, value, shape) for column, value in values.items()]
    return stats.verdict(stats.Table(lines), rows.BY_NAME[name], "caisson", shape)


def test_every_verdict_can_be_reached():
    assert verdict_of("umask", {"native": 10, "caisson": 20}) == stats.PASS_AIM
    assert verdict_of("umask", {"native": 10, "caisson": 50}) == stats.PASS_MUST
    assert verdict_of("umask", {"native": 10, "caisson": 70}) == stats.FAIL
    assert verdict_of("umask", {"native": 10, "caisson": 300}, "one") == stats.PASS_MUST
    assert verdict_of("umask", {"native": 10, "caisson": 500}, "one") == stats.FAIL
    assert verdict_of("umask", {"native": 10}) == stats.UNKNOWN
    assert verdict_of("perl-hash", {"native": 10, "caisson": 20}) == stats.NO_LEVEL
    assert verdict_of("start", {"runc": 10, "crun": 5, "caisson": 4}) == stats.PASS_MUST
    assert verdict_of("start", {"runc": 10, "crun": 5, "caisson": 3}) == stats.PASS_AIM
    assert verdict_of("start", {"runc": 10, "crun": 5, "caisson": 6}) == stats.FAIL
    assert verdict_of("exec", {"caisson": 11_000_000}) == stats.FAIL
    assert verdict_of("idle-pss", {"caisson": 2 << 20}) == stats.PASS_MUST


def test_one_wrong_answer_spoils_a_row():
    table = stats.Table([measured("umask", "native", 0, 10), measured("umask", "caisson", 0, 10),
                         wrong("umask", "caisson", 1)])
    assert stats.verdict(table, rows.BY_NAME["umask"], "caisson") == stats.FAILED


def test_outputs_are_compared():
    row = rows.BY_NAME["find"]
    expected = {}
    native = {"exit": 0, "signal": 0, "bytes": 5, "hash": "aa", "output": "1234\n"}
    assert measure._wrong_output(row, None, native, expected) is None
    assert measure._wrong_output(row, None, dict(native), expected) is None
    assert measure._wrong_output(row, None, dict(native, hash="ab"), expected)
    assert measure._wrong_output(row, None, dict(native, exit=1), expected)
    known = rows.BY_NAME["true-100"]
    assert measure._wrong_output(known, None, dict(native, output="99\n"), expected)
    bomb = rows.BY_NAME["memory-bomb"]
    assert measure._wrong_output(bomb, None, dict(native, output="status 137\nalive\n"), {}) is None
    assert measure._wrong_output(bomb, None, dict(native, output="status 4\nalive\n"), {})
    assert measure._wrong_output(bomb, None, dict(native, output="status 137\n"), {})


def test_clocks_must_agree():
    assert measure.clocks_disagree(1_000_000_000, 1_001_000_000) is None
    assert measure.clocks_disagree(2_000_000_000, 1_000_000_000)


def test_rows_are_consistent():
    names = [row.name for row in rows.ROWS]
    assert len(names) == len(set(names))
    for row in rows.ROWS:
        assert row.tier in ("quick", "full") and row.image in ("minimal", "dev")
        assert (row.must is None) == (row.aim is None), row.name
        for place in ("{dir}", "{0}", "{batch}", "{count}", "{journal}", "{sync}"):
            assert place not in row.script + row.setup, row.name


def test_page_and_chart():
    lines = [measured("umask", "native", 0, 100), measured("umask", "caisson", 0, 150, cpu_ns=1),
             measured("umask", "runsc-2024", 0, 2500), wrong("stat", "caisson", 0),
             measured("stat", "native", 0, 500)]
    header = {"columns": [{"name": n, "version": "1", "missing": None, "note": ""}
                          for n in ("native", "runsc-2024", "caisson")]
              + [{"name": "crun", "version": "", "missing": "there is no crun", "note": ""}],
              "machine": {"cpu": "x", "cpus": 2, "memory_mib": 1, "virtual": True, "kernel": "k"},
              "date": "d", "rounds": 1, "time_ms": 1, "cpu_source": "s", "idle_before": 99.0,
              "tier": "quick"}
    page = report.Page(header, lines)
    text = "\n".join(report.section("quick", page, "c.svg"))
    assert "there is no crun" in text, "a missing column says why"
    assert "**failed**" in text and "wrong answer" in text, "a failed row is shown"
    assert "1.5×" in text and "✅ 16.7×" in text
    svg = chart.draw("t", page.chart_lines(), page.columns)
    xml.dom.minidom.parseString(svg)
    assert ">failed<" in svg and "prefers-color-scheme:dark" in svg


def test_config_has_what_was_asked():
    config = columns.oci_config("/r", ["/bin/true"], "/c", [("/a", "/data")], 1 << 20)
    assert config["linux"]["resources"]["memory"]["limit"] == 1 << 20
    assert any(m["destination"] == "/data" for m in config["mounts"])


def test_missing_runtime_is_a_missing_column():
    with tempfile.TemporaryDirectory() as empty:
        column = columns.runtime("x", [os.path.join(empty, "none")])
        assert column.missing


def main():
    status = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            print(f"ok bench/{name}")
        except AssertionError as error:
            print(f"FAIL bench/{name}: {error} (line {error.__traceback__.tb_next.tb_lineno})")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
