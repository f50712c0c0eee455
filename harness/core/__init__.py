"""The pure heart: time, arrivals, samples, outcomes, histograms, ledgers, phases. No sockets, no Locust, no SDK."""
