//! The client that makes a request.

use std::net::{IpAddr, SocketAddr};

use http::Request;
use lambda_http::{Body, RequestExt, request::RequestContext};
use rules::client::ClientNetwork;

/// Returns the client of `request` as the gateway saw it, never from a header that the caller
/// could have written.
///
/// A load balancer's event has no such field. The balancer appends the address to
/// `X-Forwarded-For`, so the last element is its own; the caller controls the others.
#[must_use]
pub fn client_network(request: &Request<Body>) -> ClientNetwork {
    let address = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        Some(RequestContext::Alb(_)) => last_forwarded_for(request),
        _ => None,
    };
    address.and_then(parse_address).into()
}

fn last_forwarded_for(request: &Request<Body>) -> Option<&str> {
    let last = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?;
    last.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Parses an address, followed by a port if the balancer is configured to keep the client's.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(address: &str) -> String {
        ClientNetwork::from(parse_address(address)).to_string()
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        assert_eq!(bucket("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(bucket("2001:db8:1:2::9"), "2001:db8:1:2::/64");
        assert_ne!(bucket("2001:db8:1:3::9"), "2001:db8:1:2::/64");
    }

    #[test]
    fn every_spelling_of_an_ipv4_address_is_one_client() {
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
    fn anything_else_shares_one_bucket() {
        for address in ["", "unknown", "192.0.2.7, 192.0.2.8"] {
            assert_eq!(bucket(address), "unknown");
        }
    }
}
