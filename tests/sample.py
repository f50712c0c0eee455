"""One small experiment that is right, for tests to make wrong in one place. No cloud is needed to read it."""

GOOD = """\
version: 1
name: small
cloud: {emulator: {hypervisors: 10}}
phases:
  - {name: baseline, kind: baseline, for: 20 s}
  - name: storm
    kind: fault
    for: 20 s
    faults:
      - {fault: database.hang, target: database, after: 2 s, for: 3 s}
  - {name: after, kind: recovery, for: 20 s}
swarms:
  - {name: reads, scenario: background, arrivals: {kind: poisson, rate: 10}}
  - name: burst
    scenario: burst
    arrivals: {kind: burst, count: 1}
    at: {phase: storm, after: 1 s}
    options: {servers: 100}
slos:
  - {phase: baseline, route: "GET /servers", measure: response_p95, at_most: 500 ms}
  - {measure: time_to_recover, at_most: 10 s}
limits: {max_servers: 200}
"""
