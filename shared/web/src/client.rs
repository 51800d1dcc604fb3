//! The client that makes a request.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, Request};
use lambda_http::{Body, RequestExt, request::RequestContext};
use rules::client::ClientNetwork;

/// Returns the client of `request` as the gateway saw it, never from a header that the caller
/// could have written.
///
/// A load balancer's event has no such field. The balancer appends the address to
/// `X-Forwarded-For`, so the last element is its own; the caller controls the others.
pub(crate) fn gateway_client(request: &Request<Body>) -> ClientNetwork {
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

/// Parses the client's address in the header `name` of an edge.
///
/// `CloudFront-Viewer-Address` always ends in a port, also after an IPv6 address without brackets:
/// `2001:db8::1:46532`. Without this rule, `2001:db8::1:8080` would be read as an address.
pub(crate) fn parse_edge_address(name: &HeaderName, text: &str) -> Option<IpAddr> {
    if name != "cloudfront-viewer-address" {
        return parse_address(text);
    }
    let (address, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let in_brackets = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    in_brackets.unwrap_or(address).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(address: &str) -> String {
        ClientNetwork::from(parse_address(address)).to_string()
    }

    fn viewer(address: &str) -> String {
        let name = HeaderName::from_static("cloudfront-viewer-address");
        ClientNetwork::from(parse_edge_address(&name, address)).to_string()
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

    #[test]
    fn a_viewer_address_ends_in_a_port() {
        for (address, client) in [
            ("198.51.100.10:46532", "198.51.100.10"),
            ("[2001:db8:1:2::9]:46532", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9:46532", "2001:db8:1:2::/64"),
            // Also an address by itself.
            ("2001:db8:1:2::9:8080", "2001:db8:1:2::/64"),
            ("2001:db8::a:b:c:d:8080", "2001:db8::/64"),
            ("2001:db8:1:2:3:4:5:6:443", "2001:db8:1:2::/64"),
            ("2001:0db8:0001:0002::0009:1", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.7:4711", "192.0.2.7"),
        ] {
            assert_eq!(viewer(address), client, "{address}");
        }
    }

    #[test]
    fn a_viewer_address_without_a_port_is_unknown() {
        for address in [
            "",
            ":",
            "198.51.100.10",
            "2001:db8::c001",
            "198.51.100.10:65536",
            "198.51.100.10:port",
            "198.51.100.10:1, 198.51.100.11:2",
            "[2001:db8::9:46532",
            "[[2001:db8::9]]:46532",
            "evil:46532",
        ] {
            assert_eq!(viewer(address), "unknown", "{address}");
        }
    }

    #[test]
    fn another_edge_may_omit_the_port() {
        let name = HeaderName::from_static("true-client-ip");
        for address in ["2001:db8:1:2::9", "[2001:db8:1:2::9]:46532"] {
            let client = ClientNetwork::from(parse_edge_address(&name, address));
            assert_eq!(client.to_string(), "2001:db8:1:2::/64");
        }
    }
}
