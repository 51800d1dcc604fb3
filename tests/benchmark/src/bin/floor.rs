//! The floor, with `FLOOR_CALLS` calls over HTTP for each event.

use std::{env, io, net::TcpStream};

use benchmark::floor::{self, Connection};

fn main() -> io::Result<()> {
    let calls = env::var("FLOOR_CALLS").map_or(0, |text| text.parse().unwrap_or(0));
    let url = env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    let host = floor::host(&url);
    let request = floor::update_item(host);
    let mut connection = None;
    floor::serve(|| {
        for _ in 0..calls {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(Connection::open(TcpStream::connect(host)?)),
            };
            connection.call(&request)?;
        }
        Ok(())
    })
}
