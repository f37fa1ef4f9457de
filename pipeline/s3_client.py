"""What S3 needs to be told, and what its errors mean: one set of settings for every client library."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pyarrow.fs
from deltalake.exceptions import DeltaError

LOST_CONDITION = ("PreconditionFailed", "ConditionalRequestConflict")
INVALID_RANGE = "InvalidRange"
_CLIENT_ATTEMPTS = 2  # `storage.retried` does the rest


@dataclass(frozen=True)
class S3Settings:
    """The standard AWS_* variables, read once, spelled for each client library."""

    endpoint_url: str | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    region: str

    @classmethod
    def from_environment(cls) -> "S3Settings":
        env = os.environ
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
        return cls(
            endpoint_url=env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"),
            access_key=env.get("AWS_ACCESS_KEY_ID"),
            secret_key=env.get("AWS_SECRET_ACCESS_KEY"),
            session_token=env.get("AWS_SESSION_TOKEN"),
            region=region,
        )

    def for_s3fs(self) -> dict[str, Any]:
        config: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": _CLIENT_ATTEMPTS}}
        if self.endpoint_url:
            config["s3"] = {"addressing_style": "path"}
        client = {"region_name": self.region}
        keys = {"key": self.access_key, "secret": self.secret_key, "token": self.session_token}
        return {
            **{name: value for name, value in keys.items() if value},
            "endpoint_url": self.endpoint_url,
            "client_kwargs": client,
            "config_kwargs": config,
            "use_listings_cache": False,  # a listing must see what another process has just written
        }

    def for_delta(self) -> dict[str, str]:
        options = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true" if (self.endpoint_url or "").startswith("http://") else None,
            "conditional_put": "etag",
        }
        return {name: value for name, value in options.items() if value}

    def for_arrow(self) -> pyarrow.fs.S3FileSystem:
        keys = {"access_key": self.access_key, "secret_key": self.secret_key, "session_token": self.session_token}
        return pyarrow.fs.S3FileSystem(
            **{name: value for name, value in keys.items() if value},
            endpoint_override=self.endpoint_url,
            region=self.region,
        )


def store_code(error: OSError) -> str | None:
    """S3's own code of an error: s3fs has no word for some, they come as EINVAL with botocore's error as the cause."""
    response = getattr(error.__cause__, "response", None) or {}
    return cast("str | None", response.get("Error", {}).get("Code"))


# deltalake has one class for all that goes wrong; what its object store says of a fault is in the text only. No bare
# status number: the text also names files, and a random name may hold any digits.
_DELTA_STORE_WORDS = ("generic s3 error", "http error", "error sending request")
_DELTA_FORBIDDEN_WORDS = ("forbidden", "accessdenied", "access denied")


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Turn the S3 clients' own errors, which are no OSError, into ones."""
    from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as e:
        raise PermissionError(
            f"{e}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from e
    except BotoCoreError as e:
        raise OSError(str(e)) from e
    except DeltaError as e:
        text = str(e).lower()
        if not any(words in text for words in _DELTA_STORE_WORDS):
            raise
        is_forbidden = any(words in text for words in _DELTA_FORBIDDEN_WORDS)
        raise (PermissionError if is_forbidden else OSError)(str(e)) from e
