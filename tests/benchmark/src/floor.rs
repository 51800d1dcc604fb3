//! The least that a function on Lambda can be: a client of the Runtime API that returns the same
//! bytes for every event. Whatever a function costs beyond this is its own work.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// Serves events until the Runtime API ends, and does `work` for each.
pub fn serve(mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let host = env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let mut api = Connection::open(TcpStream::connect(&host)?);
    loop {
        let next =
            format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let id = api.call(next.as_bytes())?;
        work()?;
        let response = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        api.call(response.as_bytes())?;
    }
}

/// Returns the host and port in `url`.
#[must_use]
pub fn host(url: &str) -> &str {
    url.split_once("://").map_or("", |(_, host)| host)
}

/// Builds the request of a constant call to DynamoDB.
#[must_use]
pub fn update_item(host: &str) -> Vec<u8> {
    let body = r#"{"TableName":"outbox","Key":{"id":{"S":"request#192.0.2.1#1767605400"}}}"#;
    format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.UpdateItem\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An HTTP/1.1 connection for one call after the other.
pub struct Connection<S: Read>(BufReader<S>);

impl<S: Read + Write> Connection<S> {
    /// Wraps `stream`.
    pub fn open(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends `request`, reads the whole response and returns the Lambda request id in it, if any.
    pub fn call(&mut self, request: &[u8]) -> io::Result<String> {
        self.0.get_mut().write_all(request)?;
        self.0.get_mut().flush()?;
        let (mut line, mut length, mut id) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                Some(("lambda-runtime-aws-request-id", value)) => value.clone_into(&mut id),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(id)
    }
}
