//! Proofs of delivery over HTTPS: what a phone sends, what becomes of it, and who may see it.

use std::io::{Cursor, Read};

use dropmate_control_plane::Caller;
use http::{Method, Request};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::{
    client::{Answer, Api, DISPATCH, LEASES, driver, namespace, order},
    server::Server,
    tenants::{at, member, person},
};

/// A business `acme` with two drivers, an order bound to each, and a Member of each role, in a data dir.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) operator: Api,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub(crate) async fn open_with(flags: &[&str]) -> Self {
        Self::on(Server::start_with(tempfile::tempdir().unwrap(), flags).await).await
    }

    pub(crate) async fn on(server: Server) -> Self {
        let operator = Api::over(server.plane.clone());
        operator.post("/api/v1/namespaces", &namespace("acme")).await.ok();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "dispatch"},
            "spec": {"holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 15},
        });
        operator.as_user(DISPATCH).post(LEASES, &lease).await.ok();
        let shop = Self { server, operator };
        for name in ["sam", "kim"] {
            shop.operator.post(&at("acme", "drivers"), &driver(name)).await.ok();
            let mut member = member(name, &format!("{name}@acme.test"), "driver");
            member["spec"]["driverName"] = name.into();
            shop.operator.post(&at("acme", "members"), &member).await.ok();
        }
        for role in ["manager", "dispatcher", "viewer"] {
            let member = member(role, &format!("{role}@acme.test"), role);
            shop.operator.post(&at("acme", "members"), &member).await.ok();
        }
        shop.bound("sams", "sam", &json!({})).await;
        shop.bound("kims", "kim", &json!({})).await;
        shop.known("viewer").await;
        shop
    }

    /// An order with that policy of proofs, on its way to `driver`.
    pub(crate) async fn bound(&self, name: &str, driver: &str, proof: &Value) {
        let mut order = order(name);
        order["spec"]["proof"] = proof.clone();
        self.operator.post(&at("acme", "orders"), &order).await.ok();
        let dispatch = self.operator.as_user(DISPATCH);
        let lease = dispatch.get(&format!("{LEASES}/dispatch")).await.ok();
        let fence =
            json!({"lease": "dispatch", "leaseUid": lease["metadata"]["uid"], "holder": "me", "transitions": 1});
        let path = at("acme", &format!("orders/{name}"));
        let now = self.now();
        let release = json!({"clientEventId": "r", "type": "release", "fence": fence, "occurredAt": now});
        dispatch.post(&format!("{path}/progress"), &release).await.ok();
        let binding = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Driver", "name": driver}, "fence": fence,
        });
        dispatch.post(&format!("{path}/binding"), &binding).await.ok();
    }

    pub(crate) fn now(&self) -> String {
        self.operator.plane.clock().business_now().to_string()
    }

    pub(crate) fn of_acme(&self, name: &str) -> Api {
        self.operator.as_caller(person(&format!("{name}@acme.test")))
    }

    async fn known(&self, name: &str) {
        for _ in 0..200 {
            if !self.of_acme(name).get("/v1/me").await.ok()["memberships"].as_array().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{name} is a member of nothing");
    }
}

/// Bytes of the largest file.
const MOST: usize = 10 * 1024 * 1024;

pub(crate) const BOUNDARY: &str = "0123456789";

/// A form as browsers send it.
pub(crate) fn form(fields: &[(&str, &str)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    let head = "content-disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\ncontent-type: image/jpeg";
    body.extend(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").bytes());
    body.extend(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    body
}

pub(crate) async fn send(caller: &Api, fields: &[(&str, &str)], file: &[u8]) -> Answer {
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    caller.send(Method::POST, "/v1/me/proofs", &media, form(fields, file)).await
}

pub(crate) async fn upload(caller: &Api, order: &str, id: &str, file: &[u8]) -> Answer {
    send(caller, &[("order", order), ("type", "photo"), ("clientEventId", id)], file).await
}

pub(crate) fn picture(format: ImageFormat, width: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(width, 20, |x, _| Rgb([(x * 7) as u8, 10, 200])).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.code.as_u16(), answer.body["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_photo_is_kept_and_shown_to_those_whose_business_it_is() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let answer = upload(&sam, "acme/sams", "p1", &picture(ImageFormat::Png, 30)).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/namespaces/acme/proofs/{id}");
    for name in ["manager", "dispatcher", "viewer", "sam"] {
        let shown = shop.of_acme(name).get(&path).await;
        assert_eq!(shown.code, 200, "{name}");
        let header = |name: &str| shown.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "image/jpeg");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
        assert!(header("cache-control").starts_with("private"));
        let tagged = Request::get(&path).header("if-none-match", &shown.headers["etag"]);
        let again = shop.of_acme(name).request(tagged.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(again.code, 304);
    }
    assert_eq!(shop.operator.get(&path).await.code, 200);
    assert_eq!(shop.of_acme("kim").get(&path).await.code, 404, "another driver");
    let stranger = shop.operator.as_caller(Caller { verified: true, ..Caller::named("eve@nowhere.test") });
    assert_eq!(stranger.get(&path).await.code, 404);
    assert_eq!(sam.get("/v1/namespaces/acme/proofs/prf_00").await.code, 404);
    assert_eq!(sam.get("/v1/namespaces/acme/proofs/..%2f..%2fcontrol.db").await.code, 404);
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_proof_and_what_differs_is_refused() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let file = picture(ImageFormat::Jpeg, 40);
    let (first, second) = tokio::join!(upload(&sam, "sams", "p1", &file), upload(&sam, "acme/sams", "p1", &file));
    let id = first.ok()["id"].clone();
    assert_eq!(second.ok()["id"], id, "both at once");
    assert_eq!(upload(&sam, "sams", "p1", &file).await.ok()["id"], id);
    let other = upload(&sam, "sams", "p1", &picture(ImageFormat::Jpeg, 41)).await;
    assert_eq!(refusal(&other).0, 422);
    assert!(refusal(&other).1.starts_with("clientEventId: "), "{}", other.body);
    let signature = send(&sam, &[("order", "sams"), ("type", "signature"), ("clientEventId", "p1")], &file).await;
    assert_eq!(signature.code, 422);
    let kim = upload(&shop.of_acme("kim"), "kims", "p1", &file).await;
    assert_ne!(kim.ok()["id"], id, "another driver's names are their own");
}

#[tokio::test]
async fn an_order_that_is_not_the_drivers_is_not_there() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let file = picture(ImageFormat::Jpeg, 40);
    for order in ["acme/kims", "acme/nowhere", "default/sams", "", "/", "a/b/c"] {
        let answer = upload(&sam, order, "p1", &file).await;
        assert_eq!(answer.code, 404, "{order} {}", answer.body);
        assert!(refusal(&answer).1.starts_with("order: "), "{}", answer.body);
    }
    assert_eq!(upload(&shop.of_acme("manager"), "acme/sams", "p1", &file).await.code, 403, "no driver");
}

#[tokio::test]
async fn a_hostile_upload_is_answered_and_nothing_is_kept() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    let jpeg = picture(ImageFormat::Jpeg, 40);
    let sent = |file: Vec<u8>| {
        let sam = sam.clone();
        async move { upload(&sam, "sams", "p1", &file).await.code.as_u16() }
    };
    // The largest file, and a byte more: a picture with something behind it.
    let padded = |bytes: usize| [jpeg.clone(), vec![0; bytes - jpeg.len()]].concat();
    assert_eq!(sent(padded(MOST + 1)).await, 413);
    assert_eq!(sent(padded(MOST + 100 * 1024)).await, 413, "by the gateway");
    assert_eq!(sent(b"GIF89a".to_vec()).await, 415);
    assert_eq!(sent(b"<html><script>alert(1)</script>".to_vec()).await, 415);
    assert_eq!(sent(jpeg[..jpeg.len() / 4].to_vec()).await, 422, "broken");
    assert_eq!(sent(Vec::new()).await, 422);
    for (fields, named) in [
        (vec![("order", "sams"), ("type", "photo")], "clientEventId: "),
        (vec![("order", "sams"), ("clientEventId", "a")], "type: "),
        (vec![("type", "photo"), ("clientEventId", "a")], "order: "),
        (vec![("order", "sams"), ("type", "video"), ("clientEventId", "a")], "type: "),
        (vec![("order", "sams"), ("type", "photo"), ("clientEventId", "")], "clientEventId: "),
        (
            vec![("order", "sams"), ("order", "kims"), ("type", "photo"), ("clientEventId", "a")],
            "order: is given twice",
        ),
        (vec![("orders", "sams")], "orders: is not a field"),
    ] {
        let answer = send(&sam, &fields, &jpeg).await;
        assert_eq!(answer.code, 422, "{fields:?}");
        assert!(refusal(&answer).1.starts_with(named), "{fields:?} {}", answer.body);
    }
    let plain = sam.send(Method::POST, "/v1/me/proofs", "application/json", "{}").await;
    assert_eq!(plain.code, 415);
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    let cut = sam.send(Method::POST, "/v1/me/proofs", &media, form(&[("order", "sams")], &jpeg)[..200].to_vec()).await;
    assert_eq!(cut.code, 400);
    assert_eq!(sent(padded(MOST)).await, 201, "at the limit");
    let files = shop.server.dir.path().join("proofs");
    assert_eq!(count(&files), 1, "one file was kept");
    let metrics = shop.server.metrics().await;
    assert!(metrics.contains("dropmate_proofs_received_total{outcome=\"kept\"} 1"), "{metrics}");
    assert!(metrics.contains("dropmate_proofs_received_total{outcome=\"refused\"} 3"), "{metrics}");
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

/// A black PNG, made without having its pixels in memory.
fn black(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        png.extend([&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let bytes = (3 * u64::from(width) + 1) * u64::from(height);
    std::io::copy(&mut std::io::repeat(0).take(bytes), &mut packed).unwrap();
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", b"");
    png
}

/// The most memory that this process has had, in bytes.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_take_a_bounded_amount_of_memory_however_many_come() {
    let shop = Shop::open().await;
    let sam = shop.of_acme("sam");
    // Thirty-nine megapixels of nothing: 117 MB in some hundred KB.
    let bomb = black(7_800, 5_000);
    assert!(bomb.len() < 1_000_000, "{}", bomb.len());
    assert_eq!(upload(&sam, "sams", "large", &black(8_000, 5_001)).await.code, 422);
    let before = memory_peak();
    let sends = (0..4).map(|number| {
        let (sam, bomb) = (sam.clone(), bomb.clone());
        async move { upload(&sam, "sams", &format!("b{number}"), &bomb).await.code.as_u16() }
    });
    let codes = futures::future::join_all(sends).await;
    assert!(codes.iter().all(|code| [201, 429].contains(code)), "{codes:?}");
    assert!(codes.contains(&201));
    let taken = memory_peak() - before;
    println!("{} MiB beside what was there, {codes:?}", taken / 1024 / 1024);
    assert!(taken < 500 * 1024 * 1024, "{} MiB", taken / 1024 / 1024);
}

#[tokio::test]
async fn a_picture_is_not_shown_to_the_next_driver_of_that_name() {
    let shop = Shop::open().await;
    shop.bound("o1", "sam", &json!({})).await;
    let sam = shop.of_acme("sam");
    let id = upload(&sam, "o1", "p", &picture(ImageFormat::Jpeg, 40)).await.ok()["id"].clone();
    let path = format!("/v1/namespaces/acme/proofs/{}", id.as_str().unwrap());
    assert_eq!(sam.get(&path).await.code, 200);
    shop.operator.delete(&at("acme", "drivers/sam"), &json!({})).await.ok();
    // `creationTimestamp` is in whole seconds.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    shop.operator.post(&at("acme", "drivers"), &driver("sam")).await.ok();
    assert_eq!(sam.get(&path).await.code, 404);
    assert_eq!(shop.operator.get(&path).await.code, 200);
}
