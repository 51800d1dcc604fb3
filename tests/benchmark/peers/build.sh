#!/usr/bin/env bash
# Builds the Node.js bundles, and a virtual environment with boto3 for Python.
set -euo pipefail
cd "$(dirname "$0")"
npm install --no-package-lock --loglevel=error --no-audit --no-fund --prefix node
npm run --silent build --prefix node
python3 -m venv python/venv
python/venv/bin/pip install --quiet --disable-pip-version-check --requirement python/requirements.txt
