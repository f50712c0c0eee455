"""Neutron of the bundled cloud: API v2.0 with ML2/Open vSwitch behind it; one file per resource."""
