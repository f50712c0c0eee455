"""The fault proxy: raw TCP links with toxics, in a process of its own.

It stands between a cloud's services and their database and broker. With no toxic on, a link forwards bytes and nothing
else; a toxic delays, throttles or cuts them. It is steered over HTTP on loopback with Toxiproxy's paths and JSON, plus
leases: a toxic whose controller stops renewing its lease is cleared (dead man's switch).

    python -m faults.proxy --config FILE.json      file: `config.py`; control: `api.py`
"""
