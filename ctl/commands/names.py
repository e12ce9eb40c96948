"""Names as people type them."""

import click


def service_name(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str]:
    """`NS/SERVICE` as a pair. Whether there is such a service is for the daemon to say."""
    namespace, _slash, service = value.partition("/")
    if not namespace or not service or "/" in service:
        raise click.BadParameter(f"{value} is not a namespace and a service, such as shop/web")
    return namespace, service
