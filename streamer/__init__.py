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
   `pieces`      the same leaf by leaf, before anything is given out
 6 `plan`        which origin's turn it is, and the final status over all attempts
   `breaker`     whether an origin that failed lately may be asked; `rates`: how fast it sends
   `relaying`    what of a request and of its answer passes through a pass-through distribution
   `mirrors`     lists of mirrors, in files and in fields

   ports
 7 `interfaces`  Catalog, Importer, Downloader, Download: the contracts

   adapters
   `catalog`     what is published, in SQLite or PostgreSQL
   `learned`     the tables of pieces, in a store of their own
   `publishing`  manifests and entry files, line by line
 8 `importers`   from a stored download config to a downloader; `downloaders` are what they build,
                 `downloaders.http` and `downloaders.access` first
   `keyring`     the operator's keys, which seal the secrets of importers

   pump
 9 `fetch`       downloads under one running digest; `pipe`: into one `response`, at a client's
                 `pace`, which is ended or broken
   `spans`       downloads made of others: several ranges, content without its beginning
   `metrics`, `settings`, `transfers` (the transfer log)

   composition
10 `supply`      the origins of one exchange by `turns`, by what `health` remembers of them
   `supplies`    what all exchanges share of it: who could serve what is published
   `testimony`   what an exchange tells of its turns, to health, metrics and its notes
   `opening`     the turns that overlap, until one of them has answered
   `relief`      when content that crawls goes on at another origin
   `outlook`     whom an exchange would ask now, for operators
11 `exchange`    the heart, one coroutine: resolve; `ordering`: what the response is to hold,
                 by what `distrust` remembers; `delivery`: plan, and an `attempt`: open, pipe,
                 with the verifier that `verification` chooses;
                 `passing`: the same for pass-through distributions
   `saving`      content into a `file_target` or a `stream_target`, without a client
12 `app`, `front`, `endpoints`, `listing`, `admin`: the HTTP edge; `logs`
13 `service`     Options and makeService: the only place where things are joined
   `cli`         the admin command; `testing`: fakes and contract checks
"""

__version__ = "0.1.0"
