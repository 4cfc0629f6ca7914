//! `POST /v1/me/proofs`: a driver's phone sends a photo or a signature.

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State, multipart::MultipartError},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use dropmate_api::roles::{Own, Parties, Sight};
use dropmate_ingest::ProofRow;
use dropmate_store::{At, Key};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ID_PREFIX, Proofs, picture::Purpose, told};
use crate::{
    error::{ApiError, Result},
    me::Me,
    state::AppState,
};

/// Bytes of a file. More is a 413.
pub(crate) const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// What a form holds beside the file: its other fields and the lines between them.
pub(crate) const FORM_BYTES_MAX: usize = 64 * 1024;
/// Characters of a field that is no file: the longest name with its namespace, and then some.
const TEXT_CHARS_MAX: usize = 512;
/// As of a report.
const CLIENT_EVENT_ID_CHARS_MAX: usize = 128;
/// Proofs of one order, of all attempts and drivers: more than any door needs, and a bound for whoever sends them.
const PROOFS_OF_ORDER_MAX: i64 = 50;

/// What a phone sends.
struct Form {
    order: String,
    purpose: Purpose,
    client_event_id: String,
    file: Bytes,
}

/// The order that a proof is for.
pub(crate) struct ProvenOrder {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Takes in a proof: 201 `{id}`, also when it is sent again.
pub(crate) async fn upload(State(state): State<AppState>, me: Me, mut request: Request) -> Response {
    let answer = async {
        let proofs = Proofs::of(&state)?;
        // The gateway has bounded the body.
        DefaultBodyLimit::disable().apply(&mut request);
        let form = read(request).await?;
        let order = my_order(&state, &me, "order", &form.order).await?;
        let id = take(&state, proofs, &me, form, &order).await;
        let id = id.inspect_err(|refusal| proofs.metrics.not_kept(refusal.code().as_u16()))?;
        Ok((StatusCode::CREATED, Json(json!({"id": id}))).into_response())
    };
    told(answer.await)
}

async fn take(state: &AppState, proofs: &Proofs, me: &Me, form: Form, order: &ProvenOrder) -> Result<String> {
    let type_ = match form.purpose {
        Purpose::Photo => "photo",
        Purpose::Signature => "signature",
    };
    let mut row = ProofRow {
        id: format!("{ID_PREFIX}{}", Uuid::new_v4().simple()),
        namespace: me.namespace.clone(),
        order_name: order.name.clone(),
        order_uid: order.uid.clone(),
        driver: me.driver.clone(),
        type_: type_.to_owned(),
        client_event_id: form.client_event_id,
        sent: Sha256::digest(&form.file).to_vec(),
        media_type: String::new(),
        bytes: 0,
        created_at: state.clock.system_now().as_microsecond(),
    };
    if let Some(held) = proofs.ingest.proof_sent(&me.namespace, &me.driver, &row.client_event_id).await? {
        return same(&held, &row);
    }
    if proofs.ingest.proofs_of(&order.uid, PROOFS_OF_ORDER_MAX).await?.len() as i64 >= PROOFS_OF_ORDER_MAX {
        let why = format!("{:?} has {PROOFS_OF_ORDER_MAX} proofs already, as many as an order may have", form.order);
        return Err(ApiError::invalid_field("order", &why));
    }
    let picture = proofs.room.remake(form.file, form.purpose).await?;
    picture.media_type.clone_into(&mut row.media_type);
    row.bytes = picture.bytes.len() as i64;
    // The file first: whatever a row names is there. A file without a row is swept.
    proofs.store.put(&row.id, picture.bytes.into()).await?;
    // Of two that came at once, one is kept.
    let kept = proofs.ingest.add_proof(&row).await?;
    if kept.id == row.id {
        proofs.metrics.kept(row.bytes);
    }
    same(&kept, &row)
}

/// The id of the proof that is kept under the phone's name for it, if it is the one that was sent.
fn same(held: &ProofRow, sent: &ProofRow) -> Result<String> {
    let what = |row: &ProofRow| (row.sent.clone(), row.type_.clone(), row.order_uid.clone());
    if what(held) == what(sent) {
        return Ok(held.id.clone());
    }
    let why = format!("{:?} was used before for another file, type or order", sent.client_event_id);
    Err(ApiError::invalid_field("clientEventId", &why))
}

/// An order that is there for the driver, named `NAMESPACE/NAME` or `NAME`. Another's is not there.
pub(crate) async fn my_order(state: &AppState, me: &Me, field: &str, named: &str) -> Result<ProvenOrder> {
    let (namespace, name) = named.split_once('/').unwrap_or((&me.namespace, named));
    let missing = || ApiError::no_such(format!("{field}: orders.dropmate.dev {named:?} not found"));
    if namespace != me.namespace {
        return Err(missing());
    }
    let key =
        Key { resource: "orders.dropmate.dev".to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    let held = held.ok_or_else(missing)?;
    let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    let own = Own { drivers: [me.driver.clone()].into(), ..Own::default() };
    if !Sight::Own(own).sees("orders", name, &Parties::of(&body), state.clock.business_now()) {
        return Err(missing());
    }
    Ok(ProvenOrder { name: name.to_owned(), uid: held.uid.clone() })
}

async fn read(request: Request) -> Result<Form> {
    let media = |_| ApiError::unsupported_media_type(&["multipart/form-data"]);
    let mut parts = Multipart::from_request(request, &()).await.map_err(media)?;
    let (mut order, mut type_, mut client_event_id, mut file) = (None, None, None, None);
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let text = match name.as_str() {
            "file" => {
                let bytes = part.bytes().await.map_err(|error| broken(&error))?;
                if bytes.len() > FILE_BYTES_MAX {
                    return Err(ApiError::too_large(FILE_BYTES_MAX));
                }
                if file.replace(bytes).is_some() {
                    return Err(ApiError::invalid_field("file", "is given twice"));
                }
                continue;
            }
            "order" => &mut order,
            "type" => &mut type_,
            "clientEventId" => &mut client_event_id,
            other => {
                let other: String = other.chars().take(TEXT_CHARS_MAX).collect();
                let why = "is not a field of this form, which has order, type, clientEventId, file";
                return Err(ApiError::invalid_field(&other, why));
            }
        };
        let value = part.text().await.map_err(|error| broken(&error))?;
        if value.chars().count() > TEXT_CHARS_MAX {
            return Err(ApiError::invalid_field(&name, &format!("has more than {TEXT_CHARS_MAX} characters")));
        }
        if text.replace(value).is_some() {
            return Err(ApiError::invalid_field(&name, "is given twice"));
        }
    }
    let missing = |field: &str| ApiError::invalid_field(field, "is missing");
    let type_ = type_.ok_or_else(|| missing("type"))?;
    let purpose = match type_.as_str() {
        "photo" => Purpose::Photo,
        "signature" => Purpose::Signature,
        _ => return Err(ApiError::invalid_field("type", &format!("{type_:?} must be photo or signature"))),
    };
    let client_event_id = client_event_id.ok_or_else(|| missing("clientEventId"))?;
    if !(1..=CLIENT_EVENT_ID_CHARS_MAX).contains(&client_event_id.chars().count()) {
        let why = format!("must have 1 to {CLIENT_EVENT_ID_CHARS_MAX} characters");
        return Err(ApiError::invalid_field("clientEventId", &why));
    }
    let file = file.filter(|file: &Bytes| !file.is_empty()).ok_or_else(|| missing("file"))?;
    Ok(Form { order: order.ok_or_else(|| missing("order"))?, purpose, client_event_id, file })
}

fn broken(error: &MultipartError) -> ApiError {
    ApiError::bad_request(format!("the form cannot be read: {}", error.body_text()))
}
