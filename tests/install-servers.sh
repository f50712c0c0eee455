#!/usr/bin/env bash
# Installs from Debian what the tests marked `servers` use: MariaDB, RabbitMQ and Chromium. Needs root. Safe to repeat.
# The packages' own daemons are kept from starting: the tests run servers of their own, on ports of their own.
set -euo pipefail
packages=(mariadb-server rabbitmq-server chromium chromium-driver)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "make test-full needs root to install ${missing[*]}; install them yourself or run it as root" >&2
  exit 2
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
