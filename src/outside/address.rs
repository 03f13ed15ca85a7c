//! Which addresses lie inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 that no stranger's URL may lead to (the special-purpose registry of RFC 6890, and what clouds have put elsewhere).
const INSIDE_4: &[(&str, [u8; 4], u32)] = &[
    ("this network", [0, 0, 0, 0], 8),
    ("a private network", [10, 0, 0, 0], 8),
    ("a provider's shared network", [100, 64, 0, 0], 10),
    ("this machine", [127, 0, 0, 0], 8),
    ("a link-local network", [169, 254, 0, 0], 16),
    ("a private network", [172, 16, 0, 0], 12),
    ("reserved for protocols", [192, 0, 0, 0], 24),
    ("reserved for documentation", [192, 0, 2, 0], 24),
    ("a relay of 6to4", [192, 88, 99, 0], 24),
    ("a private network", [192, 168, 0, 0], 16),
    ("reserved for benchmarks", [198, 18, 0, 0], 15),
    ("reserved for documentation", [198, 51, 100, 0], 24),
    ("reserved for documentation", [203, 0, 113, 0], 24),
    ("a group of machines", [224, 0, 0, 0], 4),
    ("reserved", [240, 0, 0, 0], 4),
    // Where a cloud's machines ask for their own secrets, at a public address.
    ("a cloud's metadata service", [168, 63, 129, 16], 32),
];

/// IPv6 is allowed inside 2000::/3 only, and there not in these.
const INSIDE_6: &[(&str, Ipv6Addr, u32)] = &[
    // Teredo among them, which carries an IPv4 address.
    ("reserved for protocols", Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    ("reserved for documentation", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // It carries an IPv4 address too.
    ("6to4", Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    ("reserved for documentation", Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const GLOBAL_6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// NAT64 (RFC 6052): the last 32 bits are an IPv4 address, which is who is really called.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// What kind of inside an address is; `None`: it is the open Internet's.
pub(super) fn why_inside(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => why_inside_4(address),
        IpAddr::V6(address) if is_within(address, NAT64) => {
            let [.., a, b, c, d] = address.octets();
            why_inside_4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) if address.is_loopback() => Some("this machine"),
        IpAddr::V6(address) if address.is_multicast() => Some("a group of machines"),
        IpAddr::V6(address) if address.is_unique_local() => Some("a private network"),
        IpAddr::V6(address) if address.is_unicast_link_local() => Some("a link-local network"),
        IpAddr::V6(address) if !is_within(address, GLOBAL_6) => Some("reserved"),
        IpAddr::V6(address) => {
            let mut networks = INSIDE_6.iter();
            networks.find(|(_, network, bits)| is_within(address, (*network, *bits))).map(|(what, ..)| *what)
        }
    }
}

fn why_inside_4(address: Ipv4Addr) -> Option<&'static str> {
    let same = |network: [u8; 4], bits: u32| {
        (address.to_bits() ^ Ipv4Addr::from(network).to_bits()) >> (32 - bits) == 0
    };
    INSIDE_4.iter().find(|(_, network, bits)| same(*network, *bits)).map(|(what, ..)| *what)
}

fn is_within(address: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside_in_whatever_spelling() {
        for (inside, what) in [
            ("0.0.0.0", "this network"),
            ("127.0.0.1", "this machine"),
            ("127.255.255.254", "this machine"),
            ("10.0.0.1", "a private network"),
            ("172.16.0.1", "a private network"),
            ("172.31.255.255", "a private network"),
            ("192.168.1.1", "a private network"),
            ("100.64.0.1", "a provider's shared network"),
            ("100.100.100.200", "a provider's shared network"),
            ("169.254.169.254", "a link-local network"),
            ("168.63.129.16", "a cloud's metadata service"),
            ("192.0.0.192", "reserved for protocols"),
            ("198.19.255.255", "reserved for benchmarks"),
            ("224.0.0.1", "a group of machines"),
            ("239.255.255.250", "a group of machines"),
            ("255.255.255.255", "reserved"),
            ("::", "reserved"),
            ("::1", "this machine"),
            ("::ffff:127.0.0.1", "this machine"),
            ("::ffff:10.1.2.3", "a private network"),
            ("::7f00:1", "reserved"),
            ("64:ff9b::a9fe:a9fe", "a link-local network"),
            ("64:ff9b:1::1", "reserved"),
            ("fe80::1", "a link-local network"),
            ("fec0::1", "reserved"),
            ("fd00:ec2::254", "a private network"),
            ("fc00::1", "a private network"),
            ("ff02::1", "a group of machines"),
            ("2001::1", "reserved for protocols"),
            ("2001:db8::1", "reserved for documentation"),
            ("2002:7f00:1::1", "6to4"),
            ("3fff::1", "reserved for documentation"),
            ("100::1", "reserved"),
        ] {
            assert_eq!(why_inside(inside.parse().unwrap()), Some(what), "{inside}");
        }
    }

    #[test]
    fn what_lies_outside() {
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(why_inside(outside.parse().unwrap()), None, "{outside}");
        }
    }
}
