//! A form as browsers send it, for the pages that work without a script.

use axum::body::Bytes;
use http::HeaderMap;

use crate::{
    body,
    error::{ApiError, Result},
    gateway::SMALL_BODY_MAX,
    request_info::decode,
};

/// Names with values, in their order.
pub(crate) type Form = Vec<(String, String)>;

/// Reads one.
pub(crate) fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Form> {
    const FORM: &str = "application/x-www-form-urlencoded";
    if bytes.len() > SMALL_BODY_MAX {
        return Err(ApiError::too_large(SMALL_BODY_MAX));
    }
    if body::media_type(headers) != FORM {
        return Err(ApiError::unsupported_media_type(&[FORM]));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("the form is no text"))?;
    let decoded = |part: &str| decode(&part.replace('+', " "));
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    Ok(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
}

/// The value of a name; the first, if there are several.
pub(crate) fn field(form: &Form, name: &str) -> Option<String> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};

    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
        let read = read(&headers, &Bytes::from_static(b"a=1+2&b=%C3%A4%26%3D&a=3&c&=x")).unwrap();
        assert_eq!(field(&read, "a").as_deref(), Some("1 2"));
        assert_eq!(field(&read, "b").as_deref(), Some("ä&="));
        assert_eq!((field(&read, "c").as_deref(), field(&read, "d")), (Some(""), None));
        assert_eq!(super::read(&HeaderMap::new(), &Bytes::new()).unwrap_err().code(), 415);
    }
}
