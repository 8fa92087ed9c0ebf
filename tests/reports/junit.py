"""Reads a report in JUnit's format as tools do that use junitparser, and prints what it has as JSON."""

import json
import sys

from junitparser import JUnitXml


def read_suite(suite):
    for case in suite:
        assert case.time >= 0, case.time
        assert "probes.http" in case.system_out or case.classname != "probes.http", case.system_out
    tags = {each.name: each.value for each in suite.properties()}
    cases = [
        [case.name, case.classname, [[type(each).__name__, each.type, each.message] for each in case.result]]
        for case in suite
    ]
    return {"tags": tags, "cases": cases}


report = JUnitXml.fromfile(sys.argv[1])
suites = [read_suite(suite) for suite in report]
written = (report.tests, report.failures, report.errors)
report.update_statistics()
assert written == (report.tests, report.failures, report.errors), written
print(json.dumps(suites))
