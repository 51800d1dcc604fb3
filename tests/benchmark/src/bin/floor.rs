//! A bare function. With `FLOOR_CALLS` it makes so many calls over HTTP for each event.

use std::{env, io, net::TcpStream};

use benchmark::bare::{self, Connection};

fn main() -> io::Result<()> {
    let calls = env::var("FLOOR_CALLS").map_or(0, |text| text.parse().unwrap_or(0));
    let url = env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    let (_, host) = bare::split_url(&url).unwrap_or_default();
    let request = bare::update_item(host);
    let mut connection = None;
    bare::serve(|| {
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
