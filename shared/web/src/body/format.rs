//! Formats of bodies.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::problem::Problem;

/// Format of a body.
pub(super) enum Format {
    /// No body and no content type.
    Empty,
    Json,
    Form,
    Multipart {
        boundary: String,
    },
}

impl Format {
    /// Returns the format that `headers` declare. It is never guessed from the body.
    pub(super) fn of(headers: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        require_no_encoding(headers)?;
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (None, _) if body.is_empty() => Ok(Self::Empty),
            (Some(declared), None) => Self::parse(declared),
            _ => Err(unknown()),
        }
    }

    fn parse(content_type: &HeaderValue) -> Result<Self, Problem> {
        let text = content_type.to_str().map_err(|_| unknown())?;
        let media_type: mime::Mime = text.parse().map_err(|_| unknown())?;
        let charset = media_type.get_param("charset");
        if charset.is_some_and(|charset| !is_utf8(charset.as_str())) {
            return Err(Problem::UnsupportedMediaType("Send the body in UTF-8."));
        }
        match media_type.essence_str() {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "multipart/form-data" => match media_type.get_param("boundary") {
                Some(boundary) => Ok(Self::Multipart {
                    boundary: boundary.as_str().to_owned(),
                }),
                None => Err(Problem::body(
                    "The multipart body has no boundary; set it in Content-Type.",
                )),
            },
            _ => Err(unknown()),
        }
    }
}

fn require_no_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let is_identity =
        |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(is_identity) {
        Ok(())
    } else {
        Err(Problem::UnsupportedMediaType(
            "Send the body without a content encoding.",
        ))
    }
}

fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

fn unknown() -> Problem {
    Problem::UnsupportedMediaType(
        "Send application/json, application/x-www-form-urlencoded or multipart/form-data, and say so in Content-Type.",
    )
}
