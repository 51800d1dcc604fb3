//! Who is asking, as far as the limit per client needs to know.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::Request;
use lambda_http::{Body, RequestExt, request::RequestContext};

/// A client of the limiter: an IPv4 address, or the /64 network of an IPv6 one, within which a
/// single subscriber can change addresses at will.
///
/// Callers without a readable address share one bucket, so that an unexpected event is limited
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(Option<IpAddr>);

/// The part of the limiter's key that names the client.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unknown"),
            Some(IpAddr::V4(address)) => address.fmt(f),
            Some(IpAddr::V6(address)) => {
                let network = u128::from(address) >> 64 << 64;
                write!(f, "{}/64", Ipv6Addr::from(network))
            }
        }
    }
}

/// The client of `request`, from what the gateway saw of the connection and never from a header
/// that the caller could have written.
///
/// A load balancer's event has no such field. It appends the address to `X-Forwarded-For`, so
/// that the last element is its own and those before it are the caller's word.
#[must_use]
pub fn client(request: &Request<Body>) -> Client {
    let address = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        Some(RequestContext::Alb(_)) => last_forwarded_for(request),
        _ => None,
    };
    Client(
        address
            .and_then(parse_address)
            .map(|address| address.to_canonical()),
    )
}

fn last_forwarded_for(request: &Request<Body>) -> Option<&str> {
    let last = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?;
    last.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// An address, with a port behind it where the balancer is set to keep the client's.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(address: &str) -> String {
        Client(parse_address(address).map(|address| address.to_canonical())).to_string()
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        assert_eq!(bucket("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(bucket("2001:db8:1:2::9"), "2001:db8:1:2::/64");
        assert_ne!(bucket("2001:db8:1:3::9"), "2001:db8:1:2::/64");
    }

    #[test]
    fn an_ipv4_address_is_one_client_however_written() {
        for address in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "192.0.2.7:4711",
            "[::ffff:192.0.2.7]:4711",
        ] {
            assert_eq!(bucket(address), "192.0.2.7");
        }
    }

    #[test]
    fn what_is_no_address_shares_a_bucket() {
        for address in ["", "unknown", "192.0.2.7, 192.0.2.8"] {
            assert_eq!(bucket(address), "unknown");
        }
    }
}
