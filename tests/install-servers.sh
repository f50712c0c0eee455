#!/usr/bin/env bash
# Installs from Debian what the tests marked `servers` use: MariaDB 10.11+, RabbitMQ 3.10+ and Chromium. Needs root. Safe to repeat.
# The packages' own daemons are kept from starting: the tests run servers of their own, on ports of their own.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
declare -A programs=([mariadb-server]=mariadbd [rabbitmq-server]=rabbitmq-server [chromium]=chromium [chromium-driver]=chromedriver)
missing=()
for package in "${!programs[@]}"; do
  command -v "${programs[$package]}" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "make test-full installs from Debian, and there is no apt-get here; install yourself: ${missing[*]}" >&2
  exit 2
fi
if [ "$(id -u)" != 0 ]; then
  echo "make test-full needs root to install ${missing[*]}; install them yourself or run it as root" >&2
  exit 2
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}"
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
