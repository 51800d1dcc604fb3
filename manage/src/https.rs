//! The client of HTTP endpoints outside AWS's SDK.

use axum::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// A client of `https://` and `http://` URLs. It follows no redirects.
pub(crate) type HttpsClient = Client<HttpsConnector<HttpConnector>, Body>;

/// Builds a client.
pub(crate) fn client() -> HttpsClient {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}
