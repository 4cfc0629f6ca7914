//! What a server says of customers' links while it runs, at debug: routes, and never a token, an address or a PIN.

use std::{fs, process::Stdio, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    client::{order, text},
    server::trusting,
    tenants::at,
};

#[tokio::test]
async fn nothing_that_the_server_writes_holds_a_token_a_pin_or_an_address() {
    dropmate_control_plane::install_crypto_provider();
    let home = tempfile::tempdir().unwrap();
    let (data, log) = (home.path().join("data"), home.path().join("log"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--open-registration", "--log", "debug"])
        .arg("--data-dir")
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).await.unwrap();
    let server = first.trim().to_owned();
    let http = trusting(&data).timeout(Duration::from_secs(30)).build().unwrap();
    let operator = fs::read_to_string(data.join("tokens/operator.token")).unwrap();
    let call = async |method: Method, path: &str, body: Value| {
        let request = http.request(method, format!("{server}{path}")).bearer_auth(&operator).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap_or_default()
    };
    let mut wanted = order("canary");
    wanted["spec"]["recipient"] =
        json!({"name": "Canary Bird", "email": "canary@private.example", "phone": "+14165550199"});
    wanted["spec"]["proof"] = json!({"dropoff": ["pin"]});
    call(Method::POST, &at("default", "orders"), wanted).await;
    let link = call(Method::POST, "/v1/namespaces/default/orders/canary/tracking-links", json!({})).await;
    let pin = call(Method::GET, "/v1/namespaces/default/orders/canary/pin", json!({})).await;
    let token = text(&link["url"]).rsplit('/').next().unwrap().to_owned();
    let wrong = format!("{}{}", &token[1..], &token[..1]);
    for token in [&token, &wrong] {
        for path in
            [format!("/v1/track/{token}"), format!("/t/{token}"), format!("/t/{token}/live"), format!("/t/{token}?x=1")]
        {
            http.get(format!("{server}{path}")).send().await.unwrap();
        }
        for (path, body) in [("rating", json!({"stars": 5})), ("notifications", json!({"enabled": false}))] {
            http.post(format!("{server}/v1/track/{token}/{path}")).json(&body).send().await.unwrap();
        }
        http.get(format!("{server}/v1/track/{token}/stream")).send().await.unwrap();
    }
    let mailed = json!({"email": "canary@private.example", "password": "nine green vans in the rain", "name": "Bird"});
    http.post(format!("{server}/v1/auth/register")).json(&mailed).send().await.unwrap();
    http.post(format!("{server}/v1/auth/forgot"))
        .json(&json!({"email": "canary@private.example"}))
        .send()
        .await
        .unwrap();
    http.post(format!("{server}/verifications/{token}")).body("").send().await.unwrap();
    let _ = child.start_kill();
    child.wait().await.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("\"route\":\"/v1/track/{token}\"") && said.contains("/t/{token}"), "{said}");
    let pin = text(&pin["pin"]);
    assert_eq!((token.len(), pin.len()), (24, 6));
    for secret in
        [&token, &wrong, &format!("\"{pin}\""), "canary@private", "+14165550199", "Queens Quay", "Canary Bird"]
    {
        assert!(!said.contains(secret), "{secret}: {}", said.lines().find(|line| line.contains(secret)).unwrap());
    }
}
