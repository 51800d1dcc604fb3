//! Bodies: the fields of a request, from the three formats that clients send.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use lambda_http::Body;
use percent_encoding::percent_decode;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::Problem;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The formats, as the `Accept` header of a 415 lists them (RFC 9110 §15.5.16).
pub(crate) const ACCEPTED: &str =
    "application/json, application/x-www-form-urlencoded, multipart/form-data";

/// The text of one field, zeroed when it is done with: it may be a password.
pub type Field = Zeroizing<String>;

/// Reads the fields `names` of a request's body. Fields of other names are ignored.
///
/// Everything is decided here, before a table is read.
pub async fn read_fields<const N: usize>(
    request: Request<Body>,
    names: [&'static str; N],
) -> Fields<N> {
    let mut fields = Fields::new(names);
    fields.problem = read(request, &mut fields).await.err();
    fields
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
    // Zeroed with the last view of it.
    let body = Bytes::from_owner(Zeroizing::new(body));
    if body.len() > MAX_BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    match format(&parts.headers, &body)? {
        Format::Empty => Ok(()),
        Format::Json => read_json(&body, fields),
        Format::Form => read_form(&body, fields),
        Format::Multipart { boundary } => read_multipart(body, boundary, fields).await,
    }
}

/// The value of the field `name`, which has to be there.
pub fn required(name: &'static str, field: Option<Field>) -> Result<Field, Problem> {
    field.ok_or_else(|| Problem::field(name, format!("{name} is missing; send it.")))
}

enum Format {
    /// No body and no word about its format.
    Empty,
    Json,
    Form,
    Multipart {
        boundary: String,
    },
}

/// The format that the headers declare. Nothing is guessed from the body.
fn format(headers: &HeaderMap, body: &Bytes) -> Result<Format, Problem> {
    let is_plain =
        |encoding: &header::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(is_plain)
    {
        return Err(Problem::UnsupportedMediaType(
            "Send the body without a content encoding.",
        ));
    }
    let unknown = Problem::UnsupportedMediaType(
        "Send application/json, application/x-www-form-urlencoded or multipart/form-data, and say so in Content-Type.",
    );
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (declared, None) = (types.next(), types.next()) else {
        return Err(unknown);
    };
    let Some(declared) = declared else {
        return if body.is_empty() {
            Ok(Format::Empty)
        } else {
            Err(unknown)
        };
    };
    let Some(media_type) = declared
        .to_str()
        .ok()
        .and_then(|text| text.parse::<mime::Mime>().ok())
    else {
        return Err(unknown);
    };
    if media_type
        .get_param("charset")
        .is_some_and(|charset| !is_utf8(charset.as_str()))
    {
        return Err(Problem::UnsupportedMediaType("Send the body in UTF-8."));
    }
    match media_type.essence_str() {
        "application/json" => Ok(Format::Json),
        "application/x-www-form-urlencoded" => Ok(Format::Form),
        "multipart/form-data" => match media_type.get_param("boundary") {
            Some(boundary) => Ok(Format::Multipart {
                boundary: boundary.as_str().to_owned(),
            }),
            None => Err(Problem::body(
                "The multipart body has no boundary; set it in Content-Type.",
            )),
        },
        _ => Err(unknown),
    }
}

fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// The fields that were looked for, as far as they could be read.
pub struct Fields<const N: usize> {
    names: [&'static str; N],
    values: [Option<Field>; N],
    problem: Option<Problem>,
}

impl<const N: usize> Fields<N> {
    fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            values: [const { None }; N],
            problem: None,
        }
    }

    /// What was sent as `name`, good or not, for showing it again; empty where nothing was.
    #[must_use]
    pub fn typed(&self, name: &str) -> Field {
        self.position(name)
            .and_then(|index| self.values[index].clone())
            .unwrap_or_default()
    }

    /// The values in the order of the names, `None` for one that was not sent. A field that is
    /// empty, repeated or no string is an error.
    pub fn finish(self) -> Result<[Option<Field>; N], Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        for (name, value) in self.names.into_iter().zip(&self.values) {
            if value.as_ref().is_some_and(|value| value.is_empty()) {
                return Err(Problem::field(
                    name,
                    format!("{name} is empty; fill it in."),
                ));
            }
        }
        Ok(self.values)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    fn set(&mut self, index: usize, value: Field) -> Result<(), Problem> {
        let name = self.names[index];
        match self.values[index].replace(value) {
            Some(_) => Err(Problem::field(name, format!("Send {name} once."))),
            None => Ok(()),
        }
    }
}

fn not_a_string(name: &'static str) -> Problem {
    Problem::field(name, format!("{name} has to be a string."))
}

fn read_json<const N: usize>(body: &[u8], fields: &mut Fields<N>) -> Result<(), Problem> {
    let mut problem = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json
        .deserialize_map(JsonObject {
            fields,
            problem: &mut problem,
        })
        .and_then(|()| json.end());
    match (problem, read) {
        (Some(problem), _) => Err(problem),
        (None, Err(_)) => Err(Problem::body(
            "The body is not a JSON object; check its syntax.",
        )),
        (None, Ok(())) => Ok(()),
    }
}

/// Reads an object's known fields. Unlike a derived reader it sees a key that comes twice, and
/// unlike a map it keeps no copy of what it does not know.
struct JsonObject<'a, const N: usize> {
    fields: &'a mut Fields<N>,
    problem: &'a mut Option<Problem>,
}

impl<'de, const N: usize> Visitor<'de> for JsonObject<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let Some(index) = self.fields.position(&key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let set = match map.next_value_seed(JsonString)? {
                Some(value) => self.fields.set(index, value),
                None => Err(not_a_string(self.fields.names[index])),
            };
            if let Err(problem) = set {
                self.problem.get_or_insert(problem);
            }
        }
        Ok(())
    }
}

/// A string, or `None` for a value of any other type.
struct JsonString;

impl<'de> DeserializeSeed<'de> for JsonString {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonString {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(text)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads `name=value&…`. What is not UTF-8 is refused rather than replaced: a password with
/// replacement characters in it would be another one than was typed.
fn read_form<const N: usize>(body: &[u8], fields: &mut Fields<N>) -> Result<(), Problem> {
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        );
        let (Some(name), Some(value)) = (form_decode(name), form_decode(value)) else {
            return Err(Problem::body("The form is not UTF-8; check its encoding."));
        };
        if let Some(index) = fields.position(&name) {
            fields.set(index, value)?;
        }
    }
    Ok(())
}

fn form_decode(encoded: &[u8]) -> Option<Field> {
    let spaced: Zeroizing<Vec<u8>> = Zeroizing::new(
        encoded
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect(),
    );
    percent_decode(&spaced)
        .decode_utf8()
        .ok()
        .map(|text| Zeroizing::new(text.into_owned()))
}

async fn read_multipart<const N: usize>(
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
            return Err(not_a_string(fields.names[index]));
        }
        let bytes = part.bytes().await.map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| not_a_string(fields.names[index]))?;
        fields.set(index, Zeroizing::new(text.to_owned()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        fields
            .finish()
            .map(|values| values.map(|value| value.map(|value| value.to_string())))
            .map_err(|problem| problem.code())
    }

    fn both(email: &str, password: &str) -> [Option<String>; 2] {
        [Some(email.to_owned()), Some(password.to_owned())]
    }

    #[test]
    fn the_three_formats_say_the_same() {
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
    fn json_of_another_shape_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"email\"",
            "{} {}",
            "{\"email\": \"a\u{0}\"}",
            r#"{"email": ""}"#,
            r#"{"email": null}"#,
            r#"{"email": ["a@b.c"]}"#,
            r#"{"email": {"$gt": 0}}"#,
            r#"{"email": 0}"#,
            r#"{"email": true}"#,
            r#"{"email": 1.5}"#,
            r#"{"email": -1}"#,
            r#"{"email": "a@b.c", "email": "d@e.f"}"#,
            r#"{"email": "a@b.c", "\u0065mail": "d@e.f"}"#,
            r#"{"email": "\ud800"}"#,
        ] {
            assert_eq!(read(JSON, body), Err("invalid_params"), "{body}");
        }
        assert_eq!(
            read(JSON, b"{\"email\": \"\xff\"}".as_slice()),
            Err("invalid_params")
        );
        let deep = format!(r#"{{"email": {}"#, "[".repeat(16_000));
        assert_eq!(read(JSON, deep), Err("invalid_params"));
    }

    #[test]
    fn forms_of_another_shape_are_refused() {
        for body in [
            "email=a&email=b",
            "email=",
            "email",
            "email=%FF",
            "email=a&%65mail=b",
        ] {
            assert_eq!(read(FORM, body), Err("invalid_params"), "{body}");
        }
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
            assert_eq!(
                read("multipart/form-data; boundary=x", body.clone()),
                Err("invalid_params"),
                "{body}"
            );
        }
        assert_eq!(read("multipart/form-data", part), Err("invalid_params"));
    }

    #[test]
    fn other_media_types_are_refused() {
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
    fn size_is_looked_at_first() {
        assert_eq!(
            read("text/plain", vec![b'x'; MAX_BODY_BYTES + 1]),
            Err("payload_too_large")
        );
        let padding = " ".repeat(MAX_BODY_BYTES - 2);
        assert_eq!(read(JSON, format!("{{}}{padding}")), Ok([None, None]));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..400), which in 0..3_usize) {
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
