//! The fields of a small JSON body, each named in what is said about it. What they hold is not repeated: it may be secret.

use axum::body::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use crate::{
    body,
    error::{ApiError, Result},
    gateway::SMALL_BODY_MAX,
};

/// The fields of a body that have not been read yet.
pub(crate) struct Fields {
    left: Map<String, Value>,
    /// Those that have been asked for.
    known: Vec<&'static str>,
}

impl Fields {
    /// Reads a JSON object. Other media types are refused: what a form on somebody's page can send must not log in.
    pub(crate) fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Self> {
        Self::read_within(SMALL_BODY_MAX, headers, bytes)
    }

    /// The same with another bound, for what has more than short fields in it.
    pub(crate) fn read_within(max: usize, headers: &HeaderMap, bytes: &Bytes) -> Result<Self> {
        if bytes.len() > max {
            return Err(ApiError::too_large(max));
        }
        if body::media_type(headers) != "application/json" {
            return Err(ApiError::unsupported_media_type(&["application/json"]));
        }
        let document = body::json(bytes)?;
        if let Some(twice) = document.duplicates.first() {
            return Err(ApiError::bad_request(format!("{twice}: is given twice")));
        }
        match document.value {
            Value::Object(left) => Ok(Self { left, known: Vec::new() }),
            _ => Err(ApiError::bad_request("the body must be a JSON object")),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| ApiError::invalid_field(name, "is missing"))
    }

    /// A text that may be there.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>> {
        self.known.push(name);
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid_field(name, "must be a text")),
        }
    }

    /// A yes or no that may be there.
    pub(crate) fn optional_truth(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.optional(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(ApiError::invalid_field(name, "must be true or false")),
        }
    }

    /// Whatever it is; null is nothing.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Refuses what nobody has asked for.
    pub(crate) fn end(self) -> Result<()> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        Err(ApiError::invalid_field(
            unknown,
            &format!("is not a field of this request, which has {}", self.known.join(", ")),
        ))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};
    use rstest::rstest;

    use super::*;

    fn read(body: &str) -> Result<(String, Option<String>)> {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))]);
        let mut fields = Fields::read(&headers, &Bytes::from(body.to_owned()))?;
        let read = (fields.text("password")?, fields.optional_text("totp")?);
        fields.end().map(|()| read)
    }

    #[test]
    fn what_is_asked_for_is_read() {
        assert_eq!(read(r#"{"password": "hunter2"}"#), Ok(("hunter2".to_owned(), None)));
        assert_eq!(read(r#"{"totp": "1", "password": ""}"#), Ok((String::new(), Some("1".to_owned()))));
    }

    #[rstest]
    #[case("{}", 422, "password: is missing")]
    #[case(r#"{"password": 4711}"#, 422, "password: must be a text")]
    #[case(r#"{"password": "4711", "totp": [4711]}"#, 422, "totp: must be a text")]
    #[case(
        r#"{"password": "4711", "otp": "4711"}"#,
        422,
        "otp: is not a field of this request, which has password, totp"
    )]
    #[case(r#"{"password": "4711", "password": "4711"}"#, 400, "password: is given twice")]
    #[case(r#"["4711"]"#, 400, "the body must be a JSON object")]
    #[case(r#"{"password": "4711"#, 400, "error decoding JSON: ")]
    fn what_is_wrong_is_named_and_not_repeated(#[case] body: &str, #[case] code: u16, #[case] message: &str) {
        let refused = read(body).unwrap_err();
        assert_eq!(refused.code().as_u16(), code);
        assert!(refused.message().contains(message), "{}", refused.message());
        assert!(!refused.message().contains("4711"), "{}", refused.message());
    }

    #[test]
    fn a_form_and_a_large_body_are_refused() {
        let form = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        assert_eq!(Fields::read(&form, &Bytes::from("{}")).err().unwrap().code(), 415);
        let large = Bytes::from(vec![b' '; SMALL_BODY_MAX + 1]);
        assert_eq!(Fields::read(&HeaderMap::new(), &large).err().unwrap().code(), 413);
    }
}
