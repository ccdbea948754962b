"""What importers build: each opens one source by one protocol and honours `interfaces.Download`.

HTTP, from the question to the content:
    `http`         one source, or one request to relay: which answer is the right one
    `access`       in turn, as whom (`credentials`), with which token (`tokens`, `challenges`), and
                   on to where it is sent (`redirects`)
    `connections`  whom to connect to (`lookups`, `addresses`, `dialing`), by which way (`proxies`,
                   `tunnels`, `socks`, `forwarding`), under which TLS (`tls`)
    `verbatim`     one request as it is; `watched` and `heads` read what comes, strictly
    `contents`     the content as it comes; `short_content`: read whole
    `learned`      mirrors that an origin named; `kept_list`: those of a list

FTP, in the same order: `ftp`, `ftp_pool`, `ftp_session`, `ftp_control`, `ftp_content`; what is said
is in `ftp_dialogues` and `ftp_replies`, where it leads in `ftp_places`, and the connections in
`ftp_connecting`, `ftp_passive` and `ftp_data`.

Files of this machine: `files`, `file_urls` (which names a URL means), `beneath` (no way out).

For all of them: `limits` and `queueing` (turns), `throttle` (bytes in a second), `faults` (errors
in our words), `shared_work` and `threads`.
"""
