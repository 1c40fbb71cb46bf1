//! Which addresses are not public.
//!
//! By IANA's special-purpose registries for [IPv4] and [IPv6], plus the metadata services of clouds
//! that are not in them. An address that embeds an IPv4 address is classified by that address.
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address that is not public.
pub(crate) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

const V4: &[(&str, u32, &str)] = &[
    ("0.0.0.0", 8, "unspecified"),
    ("10.0.0.0", 8, "private"),
    ("100.64.0.0", 10, "shared (carrier-grade NAT)"),
    ("127.0.0.0", 8, "loopback"),
    ("169.254.0.0", 16, "link-local"),
    ("172.16.0.0", 12, "private"),
    ("192.0.0.0", 24, "reserved"),
    ("192.0.2.0", 24, "documentation"),
    ("192.88.99.0", 24, "reserved"),
    ("192.168.0.0", 16, "private"),
    ("198.18.0.0", 15, "benchmarking"),
    ("198.51.100.0", 24, "documentation"),
    ("203.0.113.0", 24, "documentation"),
    ("224.0.0.0", 4, "multicast"),
    ("240.0.0.0", 4, "reserved"),
    // Other clouds' metadata addresses are link-local, shared or reserved anyway; this is Azure's.
    ("168.63.129.16", 32, "cloud-metadata"),
];

const V6: &[(&str, u32, &str)] = &[
    ("::", 128, "unspecified"),
    ("::1", 128, "loopback"),
    ("64:ff9b:1::", 48, "private"),
    ("100::", 64, "reserved"),
    // Teredo, ORCHID and others: tunnels, not hosts.
    ("2001::", 23, "reserved"),
    ("2001:db8::", 32, "documentation"),
    ("3fff::", 20, "documentation"),
    ("5f00::", 16, "reserved"),
    ("fc00::", 7, "private"),
    ("fe80::", 10, "link-local"),
    ("fec0::", 10, "private"),
    ("ff00::", 8, "multicast"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    V4.iter()
        .find(|(network, length, _)| {
            let network: Ipv4Addr = network.parse().expect("an IPv4 address");
            (bits ^ network.to_bits()) >> (32 - length) == 0
        })
        .map(|(_, _, kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let listed = V6.iter().find(|(network, length, _)| {
        let network: Ipv6Addr = network.parse().expect("an IPv6 address");
        (bits ^ network.to_bits()) >> (128 - length) == 0
    });
    match listed {
        Some((_, _, kind)) => Some(kind),
        None => special_v4(embedded(address)?),
    }
}

/// The IPv4 address that packets for this address end up at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        // IPv4-compatible (RFC 4291, deprecated), IPv4-mapped, and IPv4-translated (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => v4(g, h),
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => v4(high, low),
        // ISATAP (RFC 5214), with or without the universal bit.
        [_, _, _, _, 0 | 0x200, 0x5efe] => v4(g, h),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_not_special() {
        let cases = [
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.255", Some("loopback")),
            ("0.0.0.0", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("172.15.255.255", None),
            ("172.16.0.0", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.168.1.1", Some("private")),
            ("100.63.255.255", None),
            ("100.64.0.1", Some("shared (carrier-grade NAT)")),
            ("100.100.100.200", Some("shared (carrier-grade NAT)")),
            ("169.254.169.254", Some("link-local")),
            ("168.63.129.16", Some("cloud-metadata")),
            ("168.63.129.17", None),
            ("192.0.0.192", Some("reserved")),
            ("224.0.0.1", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("1.1.1.1", None),
            ("8.8.8.8", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:8.8.8.8", None),
            ("::127.0.0.1", Some("loopback")),
            ("::ffff:0:10.0.0.1", Some("private")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("64:ff9b::a9fe:a9fe", Some("link-local")),
            ("64:ff9b::8.8.8.8", None),
            ("64:ff9b:1::1", Some("private")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:a00:1::1", Some("private")),
            ("2002:808:808::1", None),
            ("2001:db8::1", Some("documentation")),
            ("2001::1", Some("reserved")),
            ("2001:4860:4860::8888", None),
            ("2606:4700::5efe:10.0.0.1", Some("private")),
            ("2606:4700::200:5efe:8.8.8.8", None),
            ("fd00:ec2::254", Some("private")),
            ("fe80::1", Some("link-local")),
            ("febf::1", Some("link-local")),
            ("fec0::1", Some("private")),
            ("ff02::1", Some("multicast")),
        ];
        for (address, kind) in cases {
            assert_eq!(special(address.parse().unwrap()), kind, "{address}");
        }
    }
}
