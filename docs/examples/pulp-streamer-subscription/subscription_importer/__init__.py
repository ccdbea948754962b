"""An importer type for origins that sell subscriptions, in the manner of ULN, SLES or S3.

Three steps to each file, and the reading order of the modules that know them:

1. `sessions`   a login with account and secret gives a session key, which expires
2. `signing`    the key goes with each request, in a field, beside a signature that expires
3. `requests`   how the origin is asked: connections, errors; `contents` is what it sends

`importer` joins them, `config` is what operators set, `kind` is what the entry point names.
Of pulp-streamer it uses what docs/importers.md documents and nothing else.
"""
