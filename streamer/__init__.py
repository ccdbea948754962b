"""Publish whole repositories lazily; fetch, verify and stream their content when it is asked for.

Reading order, about an hour (`docs/architecture.md` draws the same picture):

 1 `errors`      every exception, whose fault it is, its status, whether to try another origin
 2 `model`       frozen records: what a path promises, and where its content can be had

   pure: no Twisted, no clock, no I/O
   `request_head` a client's head, read strictly; `target`: the path that it asks for
 3 `fields`      fields sent to the origin, fields sent back; `kinds`
 4 `ranges`      what a Range asks for, in which way it is served; `preconditions`
   `partial_content` what of an artifact a response holds, and how that is cut out
 5 `verify`      size and digest over chunks, checkpoints, and the held tail
 6 `plan`        which origins in which order, and the final status over all attempts

   ports
 7 `interfaces`  Catalog, Importer, Downloader, Download: the contracts

   adapters
   `catalog`     what is published, in SQLite or PostgreSQL
   `publishing`  manifests and entry files, line by line
 8 `importers`   from a stored download config to a downloader; `downloaders` are what they build

   pump
 9 `pipe`        one download into one `response`: back-pressure, verification, abort
   `spans`       several ranges of one origin as one download
   `metrics`, `settings`, `transfers` (the transfer log)

   composition
11 `exchange`    the heart, one coroutine: resolve; `ordering`: what the response is to hold,
                 by what `distrust` remembers; `delivery`: plan, and an `attempt`: open, pipe
12 `app`, `front`, `endpoints`, `listing`, `admin`: the HTTP edge
13 `service`     Options and makeService: the only place where things are joined
   `cli`         the admin command; `testing`: fakes and contract checks
"""

__version__ = "0.1.0"
