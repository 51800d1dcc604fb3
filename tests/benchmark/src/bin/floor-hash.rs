//! A bare function that makes one Argon2id hash for each event, in memory that it keeps, and two
//! calls over HTTP: what a new password cannot be stored without.

use std::{env, io, net::TcpStream};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use benchmark::bare::{self, Connection};

fn main() -> io::Result<()> {
    let url = env::var("AWS_ENDPOINT_URL").map_err(io::Error::other)?;
    let (_, host) = bare::split_url(&url).unwrap_or_default();
    let request = bare::update_item(host);
    let mut connection = Connection::open(TcpStream::connect(host)?);
    // The defaults of the function.
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(io::Error::other)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut hash = [0; 32];
    bare::serve(|| {
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
