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
