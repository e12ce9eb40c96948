"""Names as people type them."""

import click


def service_name(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str]:
    """`NS/SERVICE` as a pair. Whether there is such a service is for the daemon to say."""
    return _pair(value, "a service, such as shop/web")


def secret_name(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str]:
    """`NS/NAME` as a pair, likewise."""
    return _pair(value, "a secret, such as shop/POSTGRES_PASSWORD")


def _pair(value: str, wanted: str) -> tuple[str, str]:
    namespace, _slash, name = value.partition("/")
    if not namespace or not name or "/" in name:
        raise click.BadParameter(f"{value} is not a namespace and {wanted}")
    return namespace, name


def volume_name(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str, str | None]:
    """`NS/VOL` or `NS/VOL@SNAPSHOT` as namespace, volume and snapshot."""
    whole, at, snapshot = value.partition("@")
    namespace, _slash, volume = whole.partition("/")
    if not namespace or not volume or "/" in volume or (at and not snapshot):
        raise click.BadParameter(f"{value} is not a namespace and a volume, such as shop/data")
    return namespace, volume, snapshot or None
