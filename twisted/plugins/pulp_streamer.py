from twisted.application.service import ServiceMaker

pulp_streamer = ServiceMaker(
    "pulp-streamer",
    "streamer.service",
    "Publish repositories lazily: fetch, verify and stream content when it is asked for.",
    "pulp-streamer",
)
