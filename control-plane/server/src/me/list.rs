//! Bodies of phones: an object with one list in it.

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    body,
    error::{ApiError, Result},
};

/// The list `field` of a JSON body, of at most `most` items. What the items hold is their reader's business.
pub(super) async fn read(headers: &HeaderMap, body: Body, field: &'static str, most: usize) -> Result<Vec<Value>> {
    let bytes = body::read(body).await?;
    if body::media_type(headers) != "application/json" {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("error decoding JSON: {error}")))?;
    list(value, field, most)
}

fn list(value: Value, field: &'static str, most: usize) -> Result<Vec<Value>> {
    let Value::Object(mut fields) = value else {
        return Err(ApiError::bad_request(format!("the body must be a JSON object: {{{field:?}: […]}}")));
    };
    let list = match fields.remove(field) {
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ApiError::invalid_field(field, "must be a list")),
        None => return Err(ApiError::invalid_field(field, "is missing")),
    };
    if let Some(unknown) = fields.keys().next() {
        return Err(ApiError::invalid_field(unknown, &format!("is not a field of this request, which has {field}")));
    }
    if list.len() > most {
        let why = format!("{field}: {} are too many at once; send at most {most} in a request", list.len());
        return Err(ApiError::task(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"reports": [1, 2]}), Ok(2))]
    #[case(json!({"reports": []}), Ok(0))]
    #[case(json!({"reports": [1, 2, 3]}), Err((413, "send at most 2")))]
    #[case(json!({"report": []}), Err((422, "reports: is missing")))]
    #[case(json!({"reports": {}}), Err((422, "reports: must be a list")))]
    #[case(json!({"reports": [], "more": 1}), Err((422, "more: is not a field")))]
    #[case(json!([]), Err((400, "must be a JSON object")))]
    fn one_list_is_read_and_everything_else_named(
        #[case] value: Value,
        #[case] outcome: std::result::Result<usize, (u16, &str)>,
    ) {
        match (list(value, "reports", 2), outcome) {
            (Ok(list), Ok(length)) => assert_eq!(list.len(), length),
            (Err(refusal), Err((code, text))) => {
                assert_eq!(refusal.code().as_u16(), code);
                assert!(refusal.message().contains(text), "{}", refusal.message());
            }
            (outcome, expected) => panic!("{outcome:?} instead of {expected:?}"),
        }
    }
}
