//! Request bodies: the same fields in any of three formats.

mod fields;
mod form;
mod format;
mod json;
mod multipart;

use bytes::Bytes;
use http::Request;
use lambda_http::Body;
use zeroize::Zeroizing;

pub use fields::{Field, Fields, required};

use crate::problem::Problem;
use format::Format;

/// Maximum size of a body, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// Reads the fields `names` of a request's body and ignores all others.
///
/// A malformed body is found here, before any call to AWS.
pub async fn read_fields<const N: usize>(
    request: Request<Body>,
    names: [&'static str; N],
) -> Fields<N> {
    let mut fields = Fields::new(names);
    let outcome = read(request, &mut fields).await;
    fields.record(outcome)
}

async fn read<const N: usize>(
    request: Request<Body>,
    fields: &mut Fields<N>,
) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    // Zeroized when its last reader drops it.
    let body = Bytes::from_owner(Zeroizing::new(body));
    if body.len() > MAX_BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    match Format::of(&parts.headers, &body)? {
        Format::Empty => Ok(()),
        Format::Json => json::read(&body, fields),
        Format::Form => form::read(&body, fields),
        Format::Multipart { boundary } => multipart::read(body, boundary, fields).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;
    use proptest::prelude::*;

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn read(
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<[Option<String>; 2], &'static str> {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::Binary(body.into()))
            .expect("valid request");
        let fields = futures::executor::block_on(read_fields(request, ["email", "new_password"]));
        fields.into_strings()
    }

    fn both(email: &str, password: &str) -> [Option<String>; 2] {
        [Some(email.to_owned()), Some(password.to_owned())]
    }

    #[test]
    fn all_formats_are_equivalent() {
        let json = r#"{"email": "a@b.c", "new_password": "p + ü & %", "other": [1, {"email": 2}]}"#;
        assert_eq!(read(JSON, json), Ok(both("a@b.c", "p + ü & %")));
        assert_eq!(
            read("application/json; charset=\"UTF-8\"", json),
            Ok(both("a@b.c", "p + ü & %"))
        );
        let form = "email=a%40b.c&new_password=p+%2B+%C3%BC+%26+%25&other=1&other=2";
        assert_eq!(read(FORM, form), Ok(both("a@b.c", "p + ü & %")));
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.c\r\n\
            --x\r\nContent-Disposition: form-data; name=\"new_password\"\r\n\r\np + ü & %\r\n\
            --x\r\nContent-Disposition: form-data; name=\"other\"; filename=\"f\"\r\n\r\n1\r\n--x--\r\n";
        assert_eq!(
            read("multipart/form-data; boundary=x", multipart),
            Ok(both("a@b.c", "p + ü & %"))
        );
    }

    #[test]
    fn a_missing_field_is_none() {
        assert_eq!(
            read(JSON, r#"{"email":"a@b.c"}"#),
            Ok([Some("a@b.c".to_owned()), None])
        );
        assert_eq!(read(FORM, ""), Ok([None, None]));
        assert_eq!(read(JSON, "{}"), Ok([None, None]));
    }

    #[test]
    fn a_multipart_body_without_a_boundary_is_rejected() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.c\r\n";
        assert_eq!(read("multipart/form-data", body), Err("invalid_params"));
    }

    #[test]
    fn other_media_types_are_rejected() {
        for content_type in [
            "text/plain",
            "application/xml",
            "",
            "json",
            "application/json; charset=iso-8859-1",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/problem+json",
        ] {
            assert_eq!(
                read(content_type, "{}"),
                Err("unsupported_media_type"),
                "{content_type}"
            );
        }
    }

    #[test]
    fn the_size_is_checked_first() {
        assert_eq!(
            read("text/plain", vec![b'x'; MAX_BODY_BYTES + 1]),
            Err("payload_too_large")
        );
        let padding = " ".repeat(MAX_BODY_BYTES - 2);
        assert_eq!(read(JSON, format!("{{}}{padding}")), Ok([None, None]));
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in proptest::collection::vec(any::<u8>(), 0..400), which in 0..3_usize) {
            let _ = read([JSON, FORM, "multipart/form-data; boundary=x"][which], body);
        }

        #[test]
        fn any_text_survives_each_format(text in "\\PC{1,60}") {
            let json = serde_json::json!({ "email": text }).to_string();
            prop_assert_eq!(read(JSON, json), Ok([Some(text.clone()), None]));
            let form = format!("email={}", percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC));
            prop_assert_eq!(read(FORM, form), Ok([Some(text), None]));
        }
    }
}
