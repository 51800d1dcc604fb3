//! Multipart form bodies.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::fields::Fields;
use crate::problem::Problem;

/// Reads `fields` from the parts of a form.
pub(super) async fn read<const N: usize>(
    body: Bytes,
    boundary: String,
    fields: &mut Fields<N>,
) -> Result<(), Problem> {
    let unreadable = |_| Problem::body("The multipart body cannot be read; check its boundary.");
    let stream = futures::stream::once(async move { Ok::<_, std::convert::Infallible>(body) });
    let mut multipart = multer::Multipart::new(stream, boundary);
    while let Some(part) = multipart.next_field().await.map_err(unreadable)? {
        let Some(index) = part.name().and_then(|name| fields.position(name)) else {
            continue;
        };
        if part.file_name().is_some() {
            return Err(fields.not_a_string(index));
        }
        let bytes = part.bytes().await.map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fields.not_a_string(index))?;
        fields.set(index, Zeroizing::new(text.to_owned()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::executor::block_on;

    use super::Fields;

    fn read(body: impl AsRef<[u8]>) -> Result<[Option<String>; 2], &'static str> {
        let body = Bytes::copy_from_slice(body.as_ref());
        Fields::values_after(|fields| block_on(super::read(body, "x".to_owned(), fields)))
    }

    #[test]
    fn malformed_multipart_bodies_are_rejected() {
        let part = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.c\r\n";
        for body in [
            String::new(),
            "not multipart".to_owned(),
            part.to_owned(),
            format!("{part}{part}--x--\r\n"),
            format!(
                "{}--x--\r\n",
                part.replace("name=\"email\"", "name=\"email\"; filename=\"f\"")
            ),
        ] {
            assert_eq!(read(body.clone()), Err("invalid_params"), "{body}");
        }
    }
}
