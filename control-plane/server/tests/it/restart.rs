//! A watch that is left open while the server is killed and started again.

use std::{collections::BTreeMap, time::Duration};

use dropmate_api::Order;
use futures::StreamExt;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use tempfile::TempDir;

use crate::{client::order, process::Server};

async fn client(server: &Server) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

/// Creates orders `from..to` and deletes every third of them again.
async fn trade(orders: &Api<Order>, from: usize, to: usize) {
    for index in from..to {
        let name = format!("o{index:03}");
        let wanted: Order = serde_json::from_value(order(&name)).unwrap();
        orders.create(&PostParams::default(), &wanted).await.unwrap();
        if index % 3 == 0 {
            orders.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_watch_over_kill_9_resumes_without_a_gap() {
    const EACH: usize = 10;
    dropmate_control_plane::install_crypto_provider();
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data);
    let listen = server.url.trim_start_matches("https://").to_owned();
    let client = client(&server).await;
    let orders: Api<Order> = Api::default_namespaced(client.clone());
    let watching = orders.clone();
    let watch = tokio::spawn(async move {
        let stream = watcher(watching, watcher::Config::default()).default_backoff();
        tokio::pin!(stream);
        let (mut seen, mut relists): (BTreeMap<String, Vec<&str>>, usize) = (BTreeMap::new(), 0);
        let mut changes = 0;
        while changes < 3 * EACH + EACH {
            let (change, object) = match stream.next().await.unwrap() {
                // The server is down: the watcher tries again.
                Err(_) | Ok(watcher::Event::InitDone) => continue,
                Ok(watcher::Event::Init) => {
                    relists += 1;
                    continue;
                }
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => ("apply", object),
                Ok(watcher::Event::Delete(object)) => ("delete", object),
            };
            changes += 1;
            seen.entry(object.metadata.name.unwrap()).or_default().push(change);
        }
        (seen, relists)
    });
    // The watch is open before the first order comes, so every one of them is a change.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for round in 0..3 {
        trade(&orders, round * EACH, (round + 1) * EACH).await;
        if round < 2 {
            server.kill();
            server = Server::start_at(&data, &listen);
        }
    }
    let (seen, relists) = tokio::time::timeout(Duration::from_mins(2), watch).await.expect("all is seen").unwrap();
    assert_eq!(relists, 1, "the watch went on from its version");
    let expected: BTreeMap<String, Vec<&str>> = (0..3 * EACH)
        .map(|index| (format!("o{index:03}"), if index % 3 == 0 { vec!["apply", "delete"] } else { vec!["apply"] }))
        .collect();
    assert_eq!(seen, expected);
}
