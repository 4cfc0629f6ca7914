//! What a report says was given, against what the server holds.
//!
//! A driver's word is checked: pictures were sent by this driver for this order, the PIN is the recipient's, a barcode is
//! one of the order's. The office (people who report for a driver, and simulated drivers) may say without showing; what it
//! shows is checked all the same.

use dropmate_api::{
    Order,
    order::{ProofType, progress},
    subresource::{ProofGiven, Report},
};
use dropmate_ingest::ProofRow;

use super::ID_PREFIX;
use crate::{
    error::{ApiError, Result},
    object::cause,
    pins,
    state::AppState,
};

/// Who says that the proofs were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Giver<'a> {
    /// That driver of the order's namespace, through `/v1/me`.
    Driver(&'a str),
    /// Whoever may use `/progress`.
    Office,
}

/// What has to be looked up to know whether a proof is good.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need<'a> {
    /// Nothing.
    Nothing,
    /// A picture by that id.
    Picture(&'a str),
    /// Whether this is the PIN.
    Pin(&'a str),
}

/// Whether the proofs that a report names are good. A report that the order remembers is not asked about again.
pub(crate) async fn check(state: &AppState, order: &Order, report: &Report, giver: Giver<'_>) -> Result<()> {
    let shown = report.proof.as_deref().unwrap_or_default();
    // In memory nothing is held, and so nothing can be checked.
    let Some(proofs) = state.proofs.as_ref().filter(|_| !shown.is_empty()) else { return Ok(()) };
    // What is refused anyway is not looked at: a PIN is tried only where the report would be taken.
    if progress::report(order, report, state.clock.business_now()).is_err() {
        return Ok(());
    }
    let namespace = order.metadata.namespace.as_deref().unwrap_or_default();
    let mut pin = None;
    for (index, proof) in shown.iter().enumerate() {
        let wrong = |why: String| refused(order, index, &why);
        match need(proof, order, giver).map_err(wrong)? {
            Need::Nothing => {}
            Need::Picture(id) => {
                let held = proofs.ingest.proof(namespace, id).await?;
                is_of(held.as_ref(), order, proof.type_, giver).map_err(wrong)?;
            }
            Need::Pin(digits) => pin = Some(digits),
        }
    }
    // Last: a wrong try counts, and is not to be spent on a report that fails for another reason.
    match pin {
        Some(digits) => pins::check(state, order, report, digits).await,
        None => Ok(()),
    }
}

fn need<'a>(proof: &'a ProofGiven, order: &Order, giver: Giver<'_>) -> std::result::Result<Need<'a>, String> {
    let driver = matches!(giver, Giver::Driver(_));
    let reference = proof.reference.as_deref().unwrap_or_default();
    match proof.type_ {
        ProofType::Photo | ProofType::Signature if reference.starts_with(ID_PREFIX) => Ok(Need::Picture(reference)),
        ProofType::Photo | ProofType::Signature if driver => {
            Err(format!("Invalid value: {reference:?}: must be the id of a picture sent to /v1/me/proofs"))
        }
        // Without one asked for, there is none that it could be.
        ProofType::Pin if !pins::is_asked(order) => Ok(Need::Nothing),
        ProofType::Pin if pins::is_pin(reference) => Ok(Need::Pin(reference)),
        // The value is not repeated: it may be most of the PIN.
        ProofType::Pin if driver => Err("Invalid value: must be the six digits that the recipient has".to_owned()),
        ProofType::Barcode if driver => barcode(reference, order).map(|()| Need::Nothing),
        ProofType::Photo | ProofType::Signature | ProofType::Pin | ProofType::Barcode | ProofType::None => {
            Ok(Need::Nothing)
        }
    }
}

/// A barcode is the shop's number of an item or the order's name, where items have numbers; else whatever is on the box.
fn barcode(code: &str, order: &Order) -> std::result::Result<(), String> {
    let numbers = order.spec.items.iter().filter_map(|item| item.reference.as_deref());
    let mut known = numbers.filter(|known| !known.is_empty()).peekable();
    if code.is_empty() {
        return Err("Required value: what the code says".to_owned());
    }
    if known.peek().is_none() || order.metadata.name.as_deref() == Some(code) || known.any(|known| known == code) {
        return Ok(());
    }
    Err(format!("Invalid value: {code:?}: is the code of none of the order's items"))
}

/// Whether a picture is the order's, of that type, and by whoever shows it.
fn is_of(
    held: Option<&ProofRow>,
    order: &Order,
    type_: ProofType,
    giver: Giver<'_>,
) -> std::result::Result<(), String> {
    let wanted = if type_ == ProofType::Signature { "signature" } else { "photo" };
    let ours = held
        .filter(|row| Some(row.order_uid.as_str()) == order.metadata.uid.as_deref())
        .filter(|row| matches!(giver, Giver::Office) || giver == Giver::Driver(&row.driver));
    match ours {
        // Another's is not there.
        None => Err("Not found: no picture of this order and driver has that id".to_owned()),
        Some(row) if row.type_ != wanted => {
            Err(format!("Invalid value: the picture is a {}, not a {wanted}", row.type_))
        }
        Some(_) => Ok(()),
    }
}

fn refused(order: &Order, index: usize, why: &str) -> ApiError {
    let name = order.metadata.name.as_deref().unwrap_or_default();
    let field = format!("proof[{index}].reference");
    ApiError::invalid_named(dropmate_api::GROUP, "Report", name, &[cause("FieldValueInvalid", why, &field)])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const SAM: Giver<'static> = Giver::Driver("sam");

    fn order(numbers: &[&str], asked: &[&str]) -> Order {
        let item = |number: &&str| json!({"name": "x", "quantity": 1, "reference": number});
        serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o1", "uid": "uid"},
            "spec": {
                "pickup": {"address": "a", "location": {"latitude": 1.0, "longitude": 1.0}},
                "dropoff": {"address": "a", "location": {"latitude": 1.0, "longitude": 1.0}},
                "recipient": {"name": "Ada"},
                "items": numbers.iter().map(item).collect::<Vec<_>>(),
                "proof": {"dropoff": asked},
            },
        }))
        .unwrap()
    }

    fn needed(type_: ProofType, reference: &str, giver: Giver<'_>, order: &Order) -> String {
        let proof = ProofGiven { type_, reference: Some(reference.to_owned()) };
        match need(&proof, order, giver) {
            Ok(Need::Nothing) => "nothing".to_owned(),
            Ok(Need::Picture(id)) => format!("picture {id}"),
            Ok(Need::Pin(digits)) => format!("pin {digits}"),
            Err(_) => "refused".to_owned(),
        }
    }

    #[rstest]
    #[case(ProofType::Photo, "prf_1", SAM, "picture prf_1")]
    #[case(ProofType::Photo, "on my phone", SAM, "refused")]
    #[case(ProofType::Photo, "on file", Giver::Office, "nothing")]
    #[case(ProofType::Signature, "prf_1", Giver::Office, "picture prf_1")]
    #[case(ProofType::Pin, "123456", SAM, "pin 123456")]
    #[case(ProofType::Pin, "123456", Giver::Office, "pin 123456")]
    #[case(ProofType::Pin, "12345", SAM, "refused")]
    #[case(ProofType::Pin, "", SAM, "refused")]
    #[case(ProofType::Pin, "simulated", Giver::Office, "nothing")]
    #[case(ProofType::Barcode, "", SAM, "refused")]
    #[case(ProofType::Barcode, "4711", SAM, "nothing")]
    #[case(ProofType::None, "", SAM, "nothing")]
    fn what_is_shown_is_checked_and_a_driver_has_to_show(
        #[case] type_: ProofType,
        #[case] reference: &str,
        #[case] giver: Giver<'_>,
        #[case] expected: &str,
    ) {
        assert_eq!(needed(type_, reference, giver, &order(&[], &["pin"])), expected);
    }

    #[test]
    fn a_pin_that_nobody_asked_for_is_not_tried() {
        assert_eq!(needed(ProofType::Pin, "123456", SAM, &order(&[], &["photo"])), "nothing");
    }

    #[test]
    fn where_items_have_numbers_a_barcode_is_one_of_them_or_the_orders_name() {
        let scanned = |code| needed(ProofType::Barcode, code, SAM, &order(&["978-1", "978-2"], &[]));
        assert_eq!([scanned("978-2"), scanned("o1"), scanned("978-3")], ["nothing", "nothing", "refused"]);
    }

    fn picture(order: &str, driver: &str, type_: &str) -> ProofRow {
        ProofRow {
            id: "prf_1".to_owned(),
            namespace: "acme".to_owned(),
            order_name: "o1".to_owned(),
            order_uid: order.to_owned(),
            driver: driver.to_owned(),
            type_: type_.to_owned(),
            client_event_id: "c".to_owned(),
            sent: Vec::new(),
            media_type: "image/jpeg".to_owned(),
            bytes: 1,
            created_at: 0,
        }
    }

    #[rstest]
    #[case::mine(Some(picture("uid", "sam", "photo")), SAM, true)]
    #[case::of_another_driver(Some(picture("uid", "kim", "photo")), SAM, false)]
    #[case::of_another_driver_by_the_office(Some(picture("uid", "kim", "photo")), Giver::Office, true)]
    #[case::of_another_order(Some(picture("other", "sam", "photo")), SAM, false)]
    #[case::of_another_order_by_the_office(Some(picture("other", "sam", "photo")), Giver::Office, false)]
    #[case::of_another_type(Some(picture("uid", "sam", "signature")), SAM, false)]
    #[case::nobodys(None, SAM, false)]
    fn a_picture_is_bound_to_its_order_driver_and_type(
        #[case] held: Option<ProofRow>,
        #[case] giver: Giver<'_>,
        #[case] good: bool,
    ) {
        assert_eq!(is_of(held.as_ref(), &order(&[], &[]), ProofType::Photo, giver).is_ok(), good);
    }
}
