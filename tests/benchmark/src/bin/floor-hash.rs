//! The floor, with two calls over HTTP and one Argon2id hash for each event: the least that setting
//! a new password takes. The hash reuses its memory.

use std::{env, io, net::TcpStream};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use benchmark::floor::{self, Connection};

fn main() -> io::Result<()> {
    let url = env::var("AWS_ENDPOINT_URL").map_err(io::Error::other)?;
    let host = floor::host(&url);
    let request = floor::update_item(host);
    let mut connection = Connection::open(TcpStream::connect(host)?);
    // The default costs of `confirm`.
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(io::Error::other)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut hash = [0; 32];
    floor::serve(|| {
        connection.call(&request)?;
        argon2
            .hash_password_into_with_memory(
                b"correct horse battery staple",
                b"sixteen bytes, ok",
                &mut hash,
                memory.as_mut_slice(),
            )
            .map_err(io::Error::other)?;
        connection.call(&request)?;
        Ok(())
    })
}
