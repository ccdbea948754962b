"""The contract of an importer type whose config has the keys of type `http`, and perhaps more.

Credentials of two kinds exclude each other, so it takes two configs to set every key.
"""

from __future__ import annotations

import pytest
from certificates import Authority
from importer_contract import ImporterTypeContract

PASSWORD = "s3cret-pa55"
FIELD = "s3cret-f1eld"
BEARER = "s3cret-bearer"
PROXY_PASSWORD = "s3cret-proxy"


class HttpTypeContract(ImporterTypeContract):
    """Needs the fixtures `kind`, `model`, its config, and `own`: the URL and what `http` lacks."""

    @pytest.fixture
    def authority(self):
        return Authority()

    @pytest.fixture
    def client(self, authority):
        return authority.issue("a client of a test")

    @pytest.fixture
    def secrets(self, client):
        return (PASSWORD, FIELD, BEARER, PROXY_PASSWORD, client[0].strip())

    @pytest.fixture
    def configs(self, authority, client, own):
        key, certificate = client
        common = {
            "version": 1,
            "fields": {"X-Plain": "shown"},
            "secret_fields": {"X-Key": FIELD},
            "credential_origins": ["https://192.0.2.2"],
            "user_agent": "test/1.0",
            "ca_cert": authority.pem,
            "client_cert": certificate,
            "client_key": key,
            "tls_validation": True,
            "tls_minimum": "1.2",
            "tls_maximum": "1.3",
            "tls_ciphers": "HIGH",
            "proxy_url": "http://192.0.2.3:3128",
            "proxy_username": "me",
            "proxy_password": PROXY_PASSWORD,
            "no_proxy": ["localhost", "10.0.0.0/8"],
            "download_concurrency": 5,
            "queue": 10,
            "rate_limit": 2.5,
            "bandwidth_limit": "10MiB",
            "connect_timeout": "3s",
            "keep_alive": 30,
            "max_retries": 2,
            "bind_address": "127.0.0.1",
            "allow_private_redirects": False,
            "allow_linked_mirrors": True,
            "allow_weak_digests": True,
            **own,
        }
        return [
            {**common, "username": "me", "password": PASSWORD},
            {**common, "bearer_token": BEARER},
        ]

    def test_configs_of_the_contract_set_every_key(self, model, configs):
        """A key that is added to the type is added here."""
        assert {key for config in configs for key in config} == set(model.model_fields)
