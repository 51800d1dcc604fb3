//! DNS lookups.

use std::{
    net::{AddrParseError, IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use tokio::time::timeout;

/// Port of a name server.
const PORT: u16 = 53;
/// Timeout of one attempt, in seconds.
const ATTEMPT_TIMEOUT_SECONDS: u64 = 2;
/// Timeout of a lookup with all its attempts, in seconds.
const LOOKUP_TIMEOUT_SECONDS: u64 = 5;

/// A name server on the command line: an IP address, with or without a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameServerArg(SocketAddr);

impl FromStr for NameServerArg {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.parse().or_else(|_| {
            let ip: IpAddr = text.parse()?;
            Ok(SocketAddr::new(ip, PORT))
        });
        address.map(Self)
    }
}

/// A lookup that failed. A name without records is not an error.
#[derive(Debug, thiserror::Error)]
#[error("could not ask the DNS for {name} {kind}: {reason}")]
pub(super) struct LookupError {
    name: String,
    kind: RecordType,
    reason: String,
}

/// A DNS client.
pub(super) struct Dns(TokioResolver);

impl Dns {
    /// Builds a client that queries `server`, or the system's name servers by default.
    pub(super) fn new(server: Option<NameServerArg>) -> Result<Self> {
        let mut builder = match server {
            Some(server) => {
                TokioResolver::builder_with_config(config(server), TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().context("the system's DNS settings")?,
        };
        builder.options_mut().timeout = Duration::from_secs(ATTEMPT_TIMEOUT_SECONDS);
        Ok(Self(builder.build()?))
    }

    /// Returns the TXT records of `name`, each with its strings joined and without control
    /// characters, which a terminal would interpret.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<String>, LookupError> {
        let records = self.lookup(name, RecordType::TXT).await?;
        let texts = records.into_iter().filter_map(|data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        });
        let texts = texts.map(|text| String::from_utf8_lossy(&text).replace(char::is_control, ""));
        Ok(texts.collect())
    }

    /// Returns the hosts in the MX records of `name`.
    pub(super) async fn mx(&self, name: &str) -> Result<Vec<String>, LookupError> {
        let records = self.lookup(name, RecordType::MX).await?;
        let hosts = records.into_iter().filter_map(|data| match data {
            RData::MX(mx) => Some(text(&mx.exchange)),
            _ => None,
        });
        Ok(hosts.collect())
    }

    /// Returns the target of the CNAME record of `name`.
    pub(super) async fn cname(&self, name: &str) -> Result<Option<String>, LookupError> {
        let records = self.lookup(name, RecordType::CNAME).await?;
        let target = records.into_iter().find_map(|data| match data {
            RData::CNAME(target) => Some(text(&target.0)),
            _ => None,
        });
        Ok(target)
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, LookupError> {
        let failed = |reason: String| LookupError {
            name: name.to_owned(),
            kind,
            reason,
        };
        // The trailing dot excludes the system's search domains.
        let absolute = Name::from_ascii(format!("{name}."));
        let absolute = absolute.map_err(|error| failed(error.to_string()))?;
        let lookup = self.0.lookup(absolute, kind);
        match timeout(Duration::from_secs(LOOKUP_TIMEOUT_SECONDS), lookup).await {
            Ok(Ok(found)) => Ok(found.answers().iter().map(|one| one.data.clone()).collect()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Ok(Vec::new()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!(
                "no response within {LOOKUP_TIMEOUT_SECONDS} seconds"
            ))),
        }
    }
}

fn config(NameServerArg(server): NameServerArg) -> ResolverConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = server.port();
    tcp.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    ResolverConfig::from_name_servers(vec![server])
}

/// Returns a name in lower case, without the dot at its end.
fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_has_port_53_unless_it_names_another() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            let NameServerArg(server) = text.parse().expect("an address");
            assert_eq!(server.to_string(), address);
        }
        assert!("dns.example".parse::<NameServerArg>().is_err());
    }
}
