//! The smallest HTTP client that the tests need.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
        self.headers.lines().find_map(value).unwrap_or_default()
    }
}

pub(crate) fn call(server: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(server).expect("a connection");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("sent");
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .expect("a response in UTF-8");
    let (headers, body) = text.split_once("\r\n\r\n").expect("a response");
    Reply {
        status: headers[9..12].parse().expect("a status"),
        headers: headers.to_owned(),
        body: body.to_owned(),
    }
}
