"""An object store of moto's, over HTTP, which asks for a signature and which a test can cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from tests.support.link import Link

BUCKET = "our-events"
EVERYTHING = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"""


class Store:
    """A store with one bucket.

    Attributes:
        link: What stands between the bridge and the store.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.link = Link(port)
        self._root = f"http://127.0.0.1:{port}"
        requests.post(f"{self._root}/moto-api/reset", timeout=10)  # what it had is this process's, and stays
        user = self._client("iam", "first", "first")
        user.create_user(UserName="bridge")
        user.put_user_policy(UserName="bridge", PolicyName="all", PolicyDocument=EVERYTHING)
        made = user.create_access_key(UserName="bridge")["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        self.client = self._client("s3", self.key, self.secret)
        self.client.create_bucket(Bucket=BUCKET)
        requests.post(f"{self._root}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on all is looked at

    def objects(self, prefix: str = "") -> list[str]:
        """Name what lies in the bucket."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [it["Key"] for it in found.get("Contents", [])]

    def get(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read())

    def put(self, name: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=body)

    def _client(self, service: str, key: str, secret: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._root,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )


@contextmanager
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run a store, and let the environment name it, as an operator does."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        _, port = server.get_host_and_port()
        it = Store(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{it.link.port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", it.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", it.secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield it
        it.link.close()
    finally:
        requests.post(f"http://127.0.0.1:{port}/moto-api/reset-auth", data=b"Infinity", timeout=10)
        server.stop()
