"""junit.xml: targets, audit and faults as test cases, for CI systems. Unknown is an error, so it is never green."""

import re
from typing import Any
from xml.etree import ElementTree

from reports.frames import Run
from reports.html import measure_words

# Characters that XML 1.0 cannot carry, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run: Run) -> str:
    """The document, one suite each for targets (by phase), audit and faults."""
    root = ElementTree.Element("testsuites", name=_clean(f"squall {run.name}"))
    verdict = run.verdict
    if verdict is None:
        suite = ElementTree.SubElement(root, "testsuite", name="verdict")
        _case(suite, "verdict", "the run was judged", "unknown", "verdict.json is missing")
    else:
        for phase in verdict.get("phases") or []:
            if phase["targets"]:
                suite = ElementTree.SubElement(root, "testsuite", name=_clean(f"targets: {phase['name']}"))
                for target in phase["targets"]:
                    _case(suite, f"targets.{phase['name']}", target_words(target), target["verdict"], _why(target))
        suite = ElementTree.SubElement(root, "testsuite", name="audit")
        for checker in verdict.get("checkers") or []:
            _case(suite, "audit", checker["question"], checker["verdict"], checker["reason"])
        _faults(root, verdict)
        suite = ElementTree.SubElement(root, "testsuite", name="run")
        _case(suite, "run", "the run as a whole", verdict["verdict"], "; ".join(verdict.get("reasons") or []))
    for suite in root:
        _count(suite)
    _count(root, [case for suite in root for case in suite])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def target_words(target: dict[str, Any]) -> str:
    """A target as one line: `p95 response time of GET /servers/{id} <= 500 ms`."""
    of = ", ".join(filter(None, (target.get("swarm"), target.get("route"), target.get("fault"))))
    sign = "<=" if target["bound"] == "at_most" else ">="
    return f"{measure_words(target['measure'])}{f' of {of}' if of else ''} {sign} {target['limit_shown']}"


def _why(target: dict[str, Any]) -> str:
    return "; ".join(filter(None, (f"{target['shown']} from {target['samples']} samples", target["reason"])))


def _faults(root: ElementTree.Element, verdict: dict[str, Any]) -> None:
    if not verdict.get("faults"):
        return
    suite = ElementTree.SubElement(root, "testsuite", name="faults")
    for fault in verdict["faults"]:
        doubt = fault.get("doubt") or ("" if fault["bit"] else "not proved")
        gone = {True: "pass", None: "unknown", False: "fail"}[fault["gone"]]
        for words, state, why in (
            ("bites", "unknown" if doubt else "pass", doubt),
            ("is undone and gone", gone, "not proved"),
        ):
            _case(suite, f"faults.{fault['id']}", f"{fault['fault']} on {fault['target']} {words}", state, why)


def _case(suite: ElementTree.Element, classname: str, name: str, verdict: str, why: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(classname), name=_clean(name))
    if verdict == "fail":
        ElementTree.SubElement(case, "failure", message=_clean(why))
    elif verdict != "pass":
        ElementTree.SubElement(case, "error", message=_clean(f"unknown: {why}"))


def _count(element: ElementTree.Element, cases: list[ElementTree.Element] | None = None) -> None:
    cases = list(element) if cases is None else cases
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", str(sum(case.find("error") is not None for case in cases)))


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
