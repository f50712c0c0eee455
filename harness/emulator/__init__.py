"""The bundled cloud: a control plane in small, over a real SQL database and a real broker."""
