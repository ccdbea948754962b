"""What importers build: each opens one source by one protocol and honours `interfaces.Download`."""
