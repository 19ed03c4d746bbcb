"""Which proxy a call goes through: the one that the environment names, but none to this machine."""

import dataclasses
import ipaddress
import os
import re
import urllib.request

_CREDENTIALS = re.compile(r"(?<=//)[^/]*@")


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy that an environment variable names."""

    url: str
    """URL of the proxy, which may hold a name and a password."""
    variable: str
    """Name of the environment variable."""

    def __str__(self) -> str:
        """The proxy for an error message, without name and password."""
        return f"the proxy {_CREDENTIALS.sub('', self.url)} of {self.variable}"


def describe_address(address: str, host: str, proxy: Proxy | None) -> str:
    """The address for an error message, with the proxy that stands before it."""
    if proxy is None:
        return address
    return f"{address} (called through {proxy}; add {host} to no_proxy to call it directly)"


def rest_proxy(scheme: str, host: str, port: int | None) -> Proxy | None:
    """The proxy of a call over REST; None for a direct call.

    Args:
        scheme: `http` or `https`.
        host: name or address of the server.
        port: port of the server.
    """
    variables = urllib.request.getproxies()  # lower and upper case; on Windows and macOS, the system's too
    for name in (scheme, "all"):
        if variables.get(name):
            url = variables[name] if "://" in variables[name] else f"http://{variables[name]}"
            excepted = variables.get("no", "")
            return None if _is_called_directly(host, port, excepted) else Proxy(url, f"{name}_proxy")
    return None


def grpc_proxy(host: str, port: int | None) -> Proxy | None:
    """The proxy of a call over gRPC, which reads these variables in lower case; None for a direct call."""
    variables = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        if variables.get(name, "").startswith("http://"):  # gRPC ignores all others
            excepted = variables.get("no_grpc_proxy") or variables.get("no_proxy", "")
            return None if _is_called_directly(host, port, excepted) else Proxy(variables[name], name)
    return None


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine by its name or address, so that no proxy can reach it."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _is_called_directly(host: str, port: int | None, excepted: str) -> bool:
    """Whether no proxy is used.

    Args:
        host: name or address of the server.
        port: port of the server.
        excepted: the value of `no_proxy`: names, ends of names, addresses and networks, with commas.
    """
    return is_this_machine(host) or any(
        _matches(host.lower(), port, entry.strip().lower()) for entry in excepted.split(",") if entry.strip()
    )


def _matches(host: str, port: int | None, entry: str) -> bool:
    address = _address(host)
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    end = entry.removesuffix(f":{port}").lstrip("*.").strip("[]")
    return entry == "*" or host == end or host.endswith(f".{end}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
