//! Whose share of something an address takes: one customer of IPv6 has 2^64 addresses, and is one.

use std::net::{IpAddr, Ipv6Addr};

/// The address that stands for all that surely belong to the same.
pub fn of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The same of a text; what is no address stands for itself.
pub fn of_text(address: &str) -> String {
    match address.parse() {
        Ok(address) => of(address).to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_is_one() {
        assert_eq!(of_text("2001:db8:1:2:3:4:5:6"), of_text("2001:db8:1:2::1"));
        assert_ne!(of_text("2001:db8:1:2::1"), of_text("2001:db8:1:3::1"));
        assert_eq!(of_text("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(of_text("192.0.2.1"), of_text("192.0.2.2"));
        assert_eq!(of_text("somebody"), "somebody");
    }
}
