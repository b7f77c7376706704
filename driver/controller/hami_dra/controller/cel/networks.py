"""Kubernetes' libraries of IP addresses and CIDR blocks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.quantities import is_readable
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import Value, add_type, no_overload

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Ip:
    """An address; IPv4 in IPv6 and zones are refused, as Kubernetes does."""

    address: Address

    @classmethod
    def parse(cls, text: str) -> Ip:
        """Read ``text``; CelEvaluationError when it is no address."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise CelEvaluationError(f"{text[:60]!r} is not an IP address") from error
        if address.version == 6 and (address.ipv4_mapped or "%" in text):
            raise CelEvaluationError(f"{text[:60]!r} is not an IP address: mapped IPv4 and zones are not allowed")
        return cls(address)

    @property
    def text(self) -> str:
        """The canonical form."""
        return str(self.address)

    def is_link_local_multicast(self) -> bool:
        """Whether it is in 224.0.0.0/24 or ff02::/16, whatever the flags."""
        packed = self.address.packed
        return packed[:3] == b"\xe0\x00\x00" if len(packed) == 4 else packed[0] == 0xFF and packed[1] & 0x0F == 2

    def is_global_unicast(self) -> bool:
        """Whether it is none of the special ones; private addresses are global here, as in Go."""
        address = self.address
        special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
        return not special and address != ipaddress.IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Cidr:
    """An address and the length of its prefix."""

    ip: Ip
    length: int

    @classmethod
    def parse(cls, text: str) -> Cidr:
        """Read ``text``; CelEvaluationError when it is no CIDR block."""
        address, slash, digits = text.partition("/")
        ip = Ip.parse(address) if slash else None
        plain = digits.isascii() and digits.isdigit() and (digits == "0" or not digits.startswith("0"))
        if ip is None or not plain or int(digits[:4]) > ip.address.max_prefixlen:
            raise CelEvaluationError(f"{text[:60]!r} is not a CIDR block")
        return cls(ip, int(digits))

    @property
    def text(self) -> str:
        """``address/length``."""
        return f"{self.ip.text}/{self.length}"

    @property
    def host_bits(self) -> int:
        """How many bits of its addresses are not the prefix."""
        return int(self.ip.address.max_prefixlen) - self.length

    def contains(self, address: Address) -> bool:
        """Whether the address begins with the prefix."""
        own = self.ip.address
        return address.version == own.version and (int(address) ^ int(own)) >> self.host_bits == 0


add_type(Ip, "net.IP")
add_type(Cidr, "net.CIDR")


def _contains_ip(cidr: Cidr, other: Value) -> bool:
    ip = Ip.parse(other) if type(other) is str else other
    if type(ip) is not Ip:
        raise no_overload("containsIP", (cidr, other))
    return cidr.contains(ip.address)


def _contains_cidr(cidr: Cidr, other: Value) -> bool:
    inner = Cidr.parse(other) if type(other) is str else other
    if type(inner) is not Cidr:
        raise no_overload("containsCIDR", (cidr, other))
    return inner.length >= cidr.length and cidr.contains(inner.ip.address)


def _masked(cidr: Cidr) -> Cidr:
    bits, address = cidr.host_bits, cidr.ip.address
    return Cidr(Ip(type(address)(int(address) >> bits << bits)), cidr.length)


LIBRARY = Library(steps=10)
LIBRARY.function("ip", (str,), Ip, Ip.parse)
LIBRARY.function("isIP", (str,), bool, is_readable(Ip.parse))
LIBRARY.function("ip.isCanonical", (str,), bool, lambda text: Ip.parse(text).text == text)
LIBRARY.method("family", (Ip,), int, lambda ip: ip.address.version)
LIBRARY.method("isUnspecified", (Ip,), bool, lambda ip: ip.address.is_unspecified)
LIBRARY.method("isLoopback", (Ip,), bool, lambda ip: ip.address.is_loopback)
LIBRARY.method("isLinkLocalUnicast", (Ip,), bool, lambda ip: ip.address.is_link_local)
LIBRARY.method("isLinkLocalMulticast", (Ip,), bool, Ip.is_link_local_multicast)
LIBRARY.method("isGlobalUnicast", (Ip,), bool, Ip.is_global_unicast)
LIBRARY.function("cidr", (str,), Cidr, Cidr.parse)
LIBRARY.function("isCIDR", (str,), bool, is_readable(Cidr.parse))
LIBRARY.method("containsIP", (Cidr, object), bool, _contains_ip)
LIBRARY.method("containsCIDR", (Cidr, object), bool, _contains_cidr)
LIBRARY.method("ip", (Cidr,), Ip, lambda cidr: cidr.ip)
LIBRARY.method("masked", (Cidr,), Cidr, _masked)
LIBRARY.method("prefixLength", (Cidr,), int, lambda cidr: cidr.length)
