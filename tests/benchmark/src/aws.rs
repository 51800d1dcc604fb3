//! An AWS whose responses are always the same, so only the function's own work is measured.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, version::TLS13},
};

const CHAIN: &[u8] = include_bytes!("../tls/chain.pem");
const KEY: &[u8] = include_bytes!("../tls/TEST-ONLY.key");

const USER: &str = r#"{"Item":{
    "email":{"S":"ada@example.com"},"mail_to":{"S":"ada@example.com"},"user_id":{"S":"u-1"},
    "name":{"S":"Ada Lovelace"},"is_active":{"BOOL":true},"session_epoch":{"N":"0"},
    "created_at":{"N":"1767605412345"}}}"#;
const TOKEN: &str = r#"{"Item":{
    "token_digest":{"S":"64 digits"},"email":{"S":"ada@example.com"},"name":{"S":"Ada Lovelace"},
    "issued_at":{"N":"1767605412345"},"expires_at":{"N":"4102444800"}}}"#;
const SENT: &str =
    r#"{"MessageId":"0100019b8f3c2d1a-1f2c3d4e-5f60-7182-93a4-b5c6d7e8f901-000000"}"#;

/// DynamoDB and SES in one server, over HTTP and HTTPS.
pub struct CannedAws {
    http_port: u16,
    https_port: u16,
}

impl CannedAws {
    /// Starts the server on two free ports.
    #[must_use]
    pub fn start() -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        let secure = async move |stream: TcpStream| acceptor.accept(stream).await.ok();
        Self {
            http_port: crate::serve(async |stream| Some(stream), respond),
            https_port: crate::serve(secure, respond),
        }
    }

    /// Returns the HTTP address.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Returns the HTTPS address. Its certificate is valid only for clients that trust
    /// [`root_file`].
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https_port)
    }
}

/// Returns the path of the root certificate for [`CannedAws::https_url`].
#[must_use]
pub fn root_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tls/root.pem")
}

/// Configures TLS like AWS's endpoints: version 1.3, two certificates below the root, RSA-2048
/// keys.
fn tls() -> ServerConfig {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(CHAIN).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("ring supports TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain.expect("certificates"), key)
        .expect("the key of the leaf")
}

async fn respond(request: Request<Bytes>) -> Response<Bytes> {
    let operation = request
        .headers()
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok()?.rsplit('.').next());
    let names = |table: &[u8]| {
        request
            .body()
            .windows(table.len())
            .any(|part| part == table)
    };
    let (content_type, body) = match operation {
        None => ("application/json", SENT),
        Some("GetItem") if names(b"\"tokens\"") => ("application/x-amz-json-1.0", TOKEN),
        Some("GetItem") => ("application/x-amz-json-1.0", USER),
        Some(_) => ("application/x-amz-json-1.0", "{}"),
    };
    Response::builder()
        .header("content-type", content_type)
        .header(
            "x-amzn-requestid",
            "0000000000000000000000000000000000000000000000000000",
        )
        .body(Bytes::from_static(body.as_bytes()))
        .expect("valid headers")
}
