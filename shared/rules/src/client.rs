//! The client of a request, as the limiter counts it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A client of the limiter: an IPv4 address, or the /64 network of an IPv6 address, within which
/// one subscriber can change addresses at will.
///
/// Callers whose address is unknown share one bucket, so an unexpected event is limited too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientNetwork(Option<IpAddr>);

impl From<Option<IpAddr>> for ClientNetwork {
    /// Returns the network of `address`; an IPv4 address that is mapped into IPv6 counts as IPv4.
    fn from(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| address.to_canonical()))
    }
}

impl ClientNetwork {
    /// Returns the /24 of an IPv4 address or the /48 of an IPv6 address.
    #[must_use]
    pub fn wider_network(self) -> String {
        match self.0 {
            None => "unknown".to_owned(),
            Some(IpAddr::V4(address)) => {
                let network = address.to_bits() >> 8 << 8;
                format!("{}/24", Ipv4Addr::from_bits(network))
            }
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() >> 80 << 80;
                format!("{}/48", Ipv6Addr::from_bits(network))
            }
        }
    }
}

/// Formats the part of the limiter's key that identifies the client.
impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unknown"),
            Some(IpAddr::V4(address)) => address.fmt(f),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64 << 64;
                write!(f, "{}/64", Ipv6Addr::from_bits(network))
            }
        }
    }
}
