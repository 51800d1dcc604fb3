//! The floor, with one call over HTTPS for each event, by rustls and ring.

use std::{env, io, net::TcpStream, sync::Arc};

use benchmark::floor::{self, Connection};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

fn main() -> io::Result<()> {
    let url = env::var("AWS_ENDPOINT_URL").map_err(io::Error::other)?;
    let host = floor::host(&url);
    let request = floor::update_item(host);
    let config = Arc::new(client()?);
    let mut connection = None;
    floor::serve(|| {
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(connect(host, config.clone())?)),
        };
        connection.call(&request)?;
        Ok(())
    })
}

fn client() -> io::Result<ClientConfig> {
    let file = env::var("SSL_CERT_FILE").map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
        let root = root.map_err(io::Error::other)?;
        roots.add(root).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn connect(
    host: &str,
    config: Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = host.split(':').next().unwrap_or_default().to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, TcpStream::connect(host)?))
}
