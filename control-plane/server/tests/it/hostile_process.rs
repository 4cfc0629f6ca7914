//! Hostile input at a server process: each gets its 4xx in bounded time, the process keeps its memory bounded over all of
//! them together, and then serves on. Time and memory are printed.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::order,
    process::Server,
    server::{outcome, trusting},
};

const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";
const LIMIT: usize = 3 * 1024 * 1024;
/// What one request may take: a debug build on a busy machine reads 3 MiB in a second or two. The worst that was ever
/// seen without a bound took minutes.
const TIME_MAX: Duration = Duration::from_secs(10);
/// What all of them together may add to the process's peak: a few bodies of 3 MiB in several forms. One that opened a level
/// of YAML for every two bytes once took 440 MiB by itself.
const MEMORY_MAX_KIB: u64 = 250 * 1024;

struct Target {
    server: Server,
    http: Client,
    token: String,
    _home: TempDir,
}

impl Target {
    fn start() -> Self {
        dropmate_control_plane::install_crypto_provider();
        let home = TempDir::new().unwrap();
        let data = home.path().join("data");
        let server = Server::start(&data);
        let token = fs::read_to_string(data.join("tokens/operator.token")).unwrap();
        let http = trusting(&data).http1_only().timeout(Duration::from_mins(2)).build().unwrap();
        Self { server, http, token, _home: home }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.url)).bearer_auth(&self.token)
    }

    fn write(&self, method: Method, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.call(method, path).header("content-type", media_type).body(body)
    }

    /// The most memory that the process ever had, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn yaml_order(field: &str) -> String {
    format!(
        "apiVersion: dropmate.dev/v1\nkind: Order\nmetadata: {{name: hostile}}\nspec:\n  pickup: {{address: a, location: {{latitude: 1, longitude: 2}}}}\n  dropoff: {{address: b, location: {{latitude: 1, longitude: 2}}}}\n  recipient: {{name: Ada}}\n{field}"
    )
}

/// A few KiB that say a gigabyte: zeros, packed, again and again.
fn gzip_bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&vec![b' '; 16 * 1024 * 1024]).unwrap();
    packer.finish().unwrap().repeat(64)
}

fn alias_bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let alias = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
    }
    text
}

/// An order whose field is that raw JSON, which no library would write.
fn order_with(pointer: &str, raw: &str) -> String {
    let mut wanted = order("hostile");
    *wanted.pointer_mut(pointer).unwrap() = "@".into();
    wanted.to_string().replace("\"@\"", raw)
}

#[tokio::test]
async fn hostile_input_gets_its_4xx_in_bounded_time_and_memory() {
    let target = Target::start();
    target.write(Method::POST, ORDERS, "application/json", order("o1").to_string()).send().await.unwrap();
    let post = |media_type: &'static str, body: String| target.write(Method::POST, ORDERS, media_type, body);
    let patch = |media_type: &'static str, body: String| {
        target.write(Method::PATCH, &format!("{ORDERS}/o1?fieldManager=x"), media_type, body)
    };
    let (json, yaml) = ("application/json", "application/yaml");
    let (json_patch, merge_patch) = ("application/json-patch+json", "application/merge-patch+json");
    let deep_object = format!("{}1{}", "{\"a\":".repeat(400_000), "}".repeat(400_000));
    let selector = |count: usize| (0..count).map(|n| format!("v{n}")).collect::<Vec<_>>().join(",");
    let list = |query: String| target.call(Method::GET, &format!("{ORDERS}?{query}"));
    let before = target.peak_kib();
    let cases: Vec<(&str, u16, RequestBuilder)> = vec![
        ("JSON of a million levels", 400, post(json, "[".repeat(1_000_000))),
        ("JSON objects in objects", 400, post(json, deep_object.clone())),
        ("YAML in brackets of a million levels", 400, post(yaml, "[".repeat(1_000_000))),
        ("YAML in dashes of a million levels", 400, post(yaml, "- ".repeat(1_000_000))),
        ("YAML in question marks of a million levels", 400, post(yaml, "? ".repeat(1_000_000))),
        ("YAML in maps of two thousand levels", 400, {
            let lines: Vec<String> = (0..2_000).map(|level| format!("{}a:", " ".repeat(level))).collect();
            post(yaml, lines.join("\n"))
        }),
        ("an alias bomb", 400, post(yaml, alias_bomb())),
        ("an apply patch that is an alias bomb", 400, patch("application/apply-patch+yaml", alias_bomb())),
        ("a million anchors", 400, post(yaml, "&a ".repeat(1_000_000))),
        ("a merge patch of a million levels", 400, patch(merge_patch, deep_object)),
        ("keys given twice, strictly", 400, {
            let twice = order("o2").to_string().replacen("\"spec\":{", "\"spec\":{\"hold\":true,\"hold\":false,", 1);
            target.write(Method::POST, &format!("{ORDERS}?fieldValidation=Strict"), json, twice)
        }),
        ("a body of one byte too many", 413, post(json, " ".repeat(LIMIT + 1))),
        ("a gigabyte in gzip", 413, post(json, String::new()).header("content-encoding", "gzip").body(gzip_bomb())),
        ("half a gzip", 400, {
            let mut half = gzip_bomb();
            half.truncate(100);
            post(json, String::new()).header("content-encoding", "gzip").body(half)
        }),
        ("a thousand headers", 431, {
            (0..1_000).fold(list(String::new()), |request, n| request.header(format!("x-{n}"), "y"))
        }),
        ("a selector of brackets", 400, list(format!("labelSelector=a+in+{}", "(".repeat(60_000)))),
        ("a selector of marks", 400, list(format!("labelSelector={}", "!".repeat(60_000)))),
        ("a selector of more than ten thousand values", 400, {
            let values: Vec<String> = (0..10_001).map(|n| format!("{n:x}")).collect();
            list(format!("labelSelector=a+in+({})", values.join(",")))
        }),
        ("a selector of ten thousand values", 200, list(format!("labelSelector=a+in+({})", selector(10_000)))),
        ("a field selector of thousands of terms", 400, list(format!("fieldSelector={}", "x=1,".repeat(12_000)))),
        ("a limit of a thousand million", 200, list("limit=1000000000".to_owned())),
        ("a limit beyond all numbers", 400, list(format!("limit={}", "9".repeat(1_000)))),
        ("a version beyond all numbers", 400, list(format!("resourceVersion={}", "9".repeat(1_000)))),
        ("ten thousand parameters", 200, list("a=b&".repeat(10_000))),
        ("a token to go on with that is none", 400, list(format!("continue={}", "A".repeat(50_000)))),
        ("a latitude that is no number, in JSON", 400, post(json, order_with("/spec/pickup/location/latitude", "NaN"))),
        ("an endless latitude, in JSON", 400, post(json, order_with("/spec/pickup/location/latitude", "1e999"))),
        ("a latitude beyond the pole", 422, post(json, order_with("/spec/pickup/location/latitude", "1e300"))),
        ("a latitude in words", 422, post(json, order_with("/spec/pickup/location/latitude", "\"NaN\""))),
        ("a number that is none, in YAML", 400, post(yaml, yaml_order("  priority: .nan\n"))),
        ("a number without end, in YAML", 400, post(yaml, yaml_order("  priority: -.inf\n"))),
        ("a whole number beyond all numbers", 422, post(json, order_with("/spec/recipient/name", "1e30"))),
        ("more operations than a patch may have", 413, {
            patch(
                json_patch,
                Value::from(vec![json!({"op": "test", "path": "/kind", "value": "Order"}); 10_001]).to_string(),
            )
        }),
        ("a patch that doubles itself", 413, {
            let mut operations =
                vec![json!({"op": "add", "path": "/metadata/annotations", "value": {"a": "x".repeat(1_000)}})];
            for n in 0..40 {
                let place = format!("/metadata/annotations/b{n}");
                operations.push(json!({"op": "copy", "from": "/metadata/annotations", "path": place}));
            }
            patch(json_patch, Value::from(operations).to_string())
        }),
        ("annotations of a megabyte", 422, {
            patch(merge_patch, json!({"metadata": {"annotations": {"a": "x".repeat(1_000_000)}}}).to_string())
        }),
        ("a name of a megabyte", 422, {
            let mut wanted = order("x");
            wanted["metadata"]["name"] = "x".repeat(1_000_000).into();
            post(json, wanted.to_string())
        }),
        ("a hundred thousand finalizers", 422, {
            let finalizers: Vec<String> = (0..100_000).map(|n| format!("not plain {n}")).collect();
            patch(merge_patch, json!({"metadata": {"finalizers": finalizers}}).to_string())
        }),
        ("thirty thousand plain finalizers", 200, {
            let finalizers: Vec<String> = (0..30_000).map(|n| format!("example.com/{n}")).collect();
            patch(merge_patch, json!({"metadata": {"finalizers": finalizers}}).to_string())
        }),
        ("the same finalizers gone, one by one", 200, {
            let removals = vec![json!({"op": "remove", "path": "/metadata/finalizers/0"}); 2_000];
            patch(json_patch, Value::from(removals).to_string())
        }),
        ("no finalizers", 200, patch(merge_patch, json!({"metadata": {"finalizers": null}}).to_string())),
        ("labels that are none, thirty thousand", 422, {
            let labels: serde_json::Map<String, Value> = (0..30_000).map(|n| (format!("{n} "), "x".into())).collect();
            patch(merge_patch, json!({"metadata": {"labels": labels}}).to_string())
        }),
        ("thirty thousand labels", 200, {
            let labels: serde_json::Map<String, Value> = (0..30_000).map(|n| (format!("l{n}"), "x".into())).collect();
            patch(merge_patch, json!({"metadata": {"labels": labels}}).to_string())
        }),
        ("no labels", 200, patch(merge_patch, json!({"metadata": {"labels": null}}).to_string())),
        ("five thousand owners", 200, {
            let owners: Vec<Value> = (0..5_000)
                .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": format!("u{n}")}))
                .collect();
            // Nobody is there: written for good, the order would go.
            let rehearsed = format!("{ORDERS}/o1?dryRun=All");
            let body = json!({"metadata": {"ownerReferences": owners}}).to_string();
            target.write(Method::PATCH, &rehearsed, merge_patch, body)
        }),
        ("the same condition five thousand times", 422, {
            let condition = json!({"type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T10:00:00Z"});
            let status = format!("{ORDERS}/o1/status");
            let body = json!({"status": {"conditions": vec![condition; 5_000]}}).to_string();
            target.write(Method::PATCH, &status, merge_patch, body)
        }),
        ("five thousand conditions", 200, {
            let conditions: Vec<Value> = (0..5_000)
                .map(|n| json!({"type": format!("A{n}"), "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T10:00:00Z"}))
                .collect();
            let status = format!("{ORDERS}/o1/status");
            target.write(Method::PATCH, &status, merge_patch, json!({"status": {"conditions": conditions}}).to_string())
        }),
        (
            "protobuf of nothing",
            400,
            target.write(
                Method::POST,
                "/api/v1/namespaces",
                "application/vnd.kubernetes.protobuf",
                [b"k8s\0".as_slice(), &vec![0xff; 100_000]].concat(),
            ),
        ),
    ];
    for (what, expected, request) in cases {
        let started = Instant::now();
        let (code, reason) = outcome(request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))).await;
        let took = started.elapsed();
        println!("{what}: {code} {reason} in {} ms, peak {} KiB", took.as_millis(), target.peak_kib());
        assert_eq!(code, expected, "{what}: {reason}");
        assert!(took < TIME_MAX, "{what} took {took:?}");
    }
    let long = "(".repeat(1_000_000);
    for (what, bytes) in [
        ("a selector of a million levels", format!("GET {ORDERS}?labelSelector={long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a header of a megabyte", format!("GET {ORDERS} HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")),
    ] {
        let said = target.raw(bytes.as_bytes()).await;
        println!("{what}: {:?}, peak {} KiB", said.lines().next(), target.peak_kib());
        // Who goes on sending may find the connection closed before it reads the answer.
        assert!(["HTTP/1.1 414", "HTTP/1.1 431", ""].contains(&said.get(..12).unwrap_or_default()), "{what}: {said}");
    }
    let added = target.peak_kib() - before;
    println!("all together added {added} KiB");
    assert!(added < MEMORY_MAX_KIB, "{added} KiB");
    assert_eq!(target.call(Method::GET, &format!("{ORDERS}/o1")).send().await.unwrap().status(), 200);
}

impl Target {
    /// Sends bytes as they are, and reads until the server closes or says no more.
    async fn raw(&self, bytes: &[u8]) -> String {
        let address = self.server.url.trim_start_matches("https://");
        let ca = fs::read(self.server.kubeconfig().with_file_name("tls/ca.crt")).unwrap();
        let mut stream = crate::tls::connect(TcpStream::connect(address).await.unwrap(), &ca).await;
        // The server may have had enough before the end.
        let _ = stream.write_all(bytes).await;
        let mut said = Vec::new();
        let reading = stream.read_to_end(&mut said);
        // A connection that is kept open is as well; what matters is what was said.
        let _ = tokio::time::timeout(Duration::from_secs(2), reading).await;
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// A request within a request. Nothing of the inner one may be done by the outer one's right, and a request whose length
/// can be read in two ways is refused or read in the one way that the standard says.
#[tokio::test]
async fn nothing_is_smuggled_in_a_request_of_two_lengths() {
    let target = Target::start();
    let head = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        target.token
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "smuggled"}}).to_string();
    let inner = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{namespace}",
        namespace.len()
    );
    let cases = [
        ("two lengths", format!("{head}Content-Length: 2\r\nContent-Length: {}\r\n\r\n{{}}{inner}", 2 + inner.len())),
        ("a list of lengths", format!("{head}Content-Length: 2, 3\r\n\r\n{{}}{inner}")),
        ("a length with a sign", format!("{head}Content-Length: +2\r\n\r\n{{}}{inner}")),
        ("a length in hex", format!("{head}Content-Length: 0x2\r\n\r\n{{}}{inner}")),
        ("a length below nothing", format!("{head}Content-Length: -1\r\n\r\n{inner}")),
        ("a space before the colon", format!("{head}Content-Length : 2\r\n\r\n{{}}{inner}")),
        ("an unknown coding", format!("{head}Transfer-Encoding: xchunked\r\n\r\n{inner}")),
        ("a coding behind chunks", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}")),
        (
            "a folded header",
            format!("{head}X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{{}}{inner}"),
        ),
        ("a nul in a header", format!("{head}X: a\0b\r\nContent-Length: 2\r\n\r\n{{}}{inner}")),
        ("a chunk without a size", format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{inner}")),
        ("a chunk beyond all sizes", format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{inner}")),
        (
            "lengths and chunks",
            format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}", 5 + inner.len()),
        ),
        (
            "chunks and lengths",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{inner}"),
        ),
    ];
    for (what, bytes) in cases {
        let said = target.raw(bytes.as_bytes()).await;
        let codes: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        println!("{what}: {codes:?}");
        assert!(!codes.is_empty() || said.is_empty(), "{what}: {said}");
        assert!(codes.iter().all(|code| code.starts_with('4')), "{what}: {said}");
        let found = target.call(Method::GET, "/api/v1/namespaces/smuggled").send().await.unwrap();
        assert_eq!(found.status(), 404, "{what}");
    }
}

/// Somebody who sends a byte now and then holds no connection for long.
#[tokio::test]
async fn a_sender_of_headers_without_end_is_cut_off() {
    let target = Target::start();
    let address = target.server.url.trim_start_matches("https://");
    let ca = fs::read(target.server.kubeconfig().with_file_name("tls/ca.crt")).unwrap();
    let mut stream = crate::tls::connect(TcpStream::connect(address).await.unwrap(), &ca).await;
    stream.write_all(b"GET /apis HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let started = Instant::now();
    let mut byte = [0; 1];
    loop {
        let ended = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut byte)).await;
        if ended.is_ok() || stream.write_all(b"x: y\r\n").await.is_err() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the connection is still open");
    }
    println!("cut off after {:?}", started.elapsed());
    assert!(started.elapsed() > Duration::from_secs(5), "an honest slow client has some seconds");
}
